"""Stage 5: measure, export, and write the bundle with its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from node.domain.identifiers import sha256
from pipelines.bundle import Bundle, write_bundle
from pipelines.cardionets.cine_decoder import CineDecoder, WholeCine
from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes, Served
from pipelines.cardionets.export import OPSET, export_graph, largest_difference, run_graph
from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES
from pipelines.evaluation.cine import peak_signal_to_noise_db, structural_similarity
from pipelines.manifest import Manifest
from pipelines.training.calibrate import COVERAGE, Calibration, calibrate, evaluate
from pipelines.training.card import write_card
from pipelines.training.cohort import FRAMES, SIZE, Cohort
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.ecg import predict
from pipelines.training.targets import Targets

ECG_OUTPUTS = ("phenotypes", "spread", "diseases", "latent")
LARGEST_DIFFERENCE = 1e-4
TRAINING_DATA = "simulated cohort, not for clinical use: no patient's data was seen in training"
INTENDED_USE = (
    "Demonstration and interface testing of a CardioNode. Simulated model: not for clinical use."
)


def build_bundle(
    folder: Path,
    network: EcgToPhenotypes,
    decoder: CineDecoder,
    cohort: Cohort,
    targets: Targets,
    configuration: TrainingConfiguration,
) -> Bundle:
    """Calibrate, measure, export, compare with ONNX Runtime, write, verify.

    Raises AssertionError when the exported graphs differ from torch, BundleError for a bad bundle.
    """
    calibration = calibrate(network, cohort, targets, configuration.cohort.calibration_part)
    metrics = evaluate(network, cohort, targets, calibration, configuration)
    metrics["cine"] = _measure_cine(network, decoder, cohort, configuration)
    served = Served(
        network,
        mean=torch.from_numpy(targets.mean),
        scale=torch.from_numpy(targets.scale),
        platt=torch.from_numpy(calibration.platt).float(),
    ).eval()
    whole = WholeCine(decoder, FRAMES).eval()
    row = configuration.cohort.calibration_part.start
    inputs = {
        "ecg": torch.from_numpy(cohort.ecg[row : row + 1].astype(np.float32)),
        "subject": torch.from_numpy(np.array(cohort.subject[row : row + 1])),
    }
    ecg = export_graph(served, inputs, ECG_OUTPUTS)
    answers = run_graph(ecg, inputs)
    latent = {"latent": torch.from_numpy(answers["latent"])}
    cine = export_graph(whole, latent, ["frames"])
    metrics["torch_onnx_difference"] = max(
        largest_difference(served, ecg, inputs, ECG_OUTPUTS),
        largest_difference(whole, cine, latent, ["frames"]),
    )
    if metrics["torch_onnx_difference"] > LARGEST_DIFFERENCE:
        raise AssertionError("the exported graphs do not give what the networks give")
    golden = {name: tensor.numpy() for name, tensor in inputs.items()}
    golden |= answers | run_graph(cine, latent)
    manifest = _manifest(configuration, calibration, inputs, answers)
    return write_bundle(
        folder,
        manifest,
        graphs={"ecg": ecg, "cine": cine},
        golden=golden,
        model_card=write_card(manifest, metrics),
        metrics=json.dumps(metrics, indent=2) + "\n",
    )


def _measure_cine(
    network: EcgToPhenotypes,
    decoder: CineDecoder,
    cohort: Cohort,
    configuration: TrainingConfiguration,
) -> dict[str, float]:
    """SSIM and PSNR to the subject's own cine: drawn from the ECG, from another's, the mean."""
    sizes = configuration.cohort
    first = sizes.test_part.start
    latent = predict(network, cohort, slice(first, first + sizes.test_cines)).mean
    whole = WholeCine(decoder, FRAMES).eval()
    own = cohort.cine[sizes.train_cines :]
    average = cohort.cine[: sizes.train_cines : 6].mean(axis=0, dtype=np.float32) / 255.0
    scores: dict[str, list[float]] = {}
    for index in range(sizes.test_cines):
        true = own[index].astype(np.float32) / 255.0
        other = (index + 1) % sizes.test_cines
        with torch.inference_mode():
            drawn = {
                "from_ecg": whole(latent[index : index + 1])[0].numpy(),
                "from_another_ecg": whole(latent[other : other + 1])[0].numpy(),
            }
        for name, cine in (drawn | {"mean_image": average}).items():
            scores.setdefault(f"ssim_{name}", []).append(structural_similarity(cine, true))
            scores.setdefault(f"psnr_db_{name}", []).append(peak_signal_to_noise_db(cine, true))
    return {"test_cines": sizes.test_cines} | {
        name: round(float(np.mean(values)), 4) for name, values in scores.items()
    }


def _manifest(
    configuration: TrainingConfiguration,
    calibration: Calibration,
    inputs: dict[str, Tensor],
    answers: dict[str, Any],
) -> Manifest:
    def tensors(named: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"name": name, "dtype": "float32", "shape": list(value.shape)}
            for name, value in named.items()
        ]

    def graph(role: str, given: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
        return {
            "file": f"graphs/{role}.onnx",
            "opset": OPSET,
            "precision": "fp32",
            "inputs": tensors(given),
            "outputs": tensors(made),
        }

    frames = np.empty((1, FRAMES, SIZE, SIZE), np.float32)
    return Manifest.model_validate(
        {
            "schema_version": 1,
            "name": configuration.name,
            "version": configuration.version,
            "title": "12-lead ECG to cardiac MR phenotypes and four-chamber cine, compact",
            "graphs": {
                "ecg": graph("ecg", inputs, {name: answers[name] for name in ECG_OUTPUTS}),
                "cine": graph("cine", {"latent": answers["latent"]}, {"frames": frames}),
            },
            "phenotypes": [
                {
                    "field_id": phenotype.field_id,
                    "name": phenotype.name,
                    "unit": phenotype.unit,
                    "decimals": phenotype.decimals,
                    "minimum": phenotype.minimum,
                    "maximum": phenotype.maximum,
                    "interval_scale": round(float(calibration.interval_scale[column]), 5),
                    "derivation": phenotype.derivation
                    and {"kind": phenotype.derivation.kind, "of": phenotype.derivation.of},
                }
                for column, phenotype in enumerate(PHENOTYPES)
            ],
            "diseases": [{"field_id": field_id, "name": name} for field_id, name in DISEASES],
            "cine": {
                "view": "long-axis four-chamber",
                "frames": FRAMES,
                "rows": SIZE,
                "columns": SIZE,
            },
            "preprocessing": "cardionode-1",
            "interval_coverage": COVERAGE,
            "population": {
                "age_years": (20, 90),
                "description": "simulated adults of 20 to 90 years",
            },
            "intended_use": INTENDED_USE,
            "training_data": TRAINING_DATA,
            "simulated": True,
            "licence": "Apache-2.0",
            "golden": {"file": "golden/golden.npz", "tolerance": 1e-4},
            "provenance": {
                "config_digest": sha256(configuration.model_dump_json().encode()),
                "seed": configuration.seed,
            },
        }
    )
