"""The end of a training: its networks as graphs, in a bundle that has proved itself.

Golden inputs are made up, golden answers are torch's: loading the bundle compares ONNX Runtime with
them, and no subject's data is in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node.domain.identifiers import sha256
from pipelines.bundle import Bundle, write_bundle
from pipelines.cardionets.ecg_to_phenotypes import SUBJECT, ServedEcg
from pipelines.cardionets.export import example_ecg, export_graph, graph_spec
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator, Head
from pipelines.cardionets.layout import ServedLayout
from pipelines.cardionets.sampler_graphs import (
    OUTPUTS,
    CineDecoder,
    export_sampler,
    sampler_inputs,
    sampler_networks,
)
from pipelines.catalog import load_pipeline
from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES, Phenotype
from pipelines.datasets.training_set import FRAMES, SIZE, Statement, TrainingSet
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.flow_path import Solver
from pipelines.graph_spec import GraphsSpec
from pipelines.layout_sampler import seeded_noise
from pipelines.manifest import (
    CineSpec,
    DerivationSpec,
    DiseaseSpec,
    GoldenSpec,
    Manifest,
    PhenotypeSpec,
    PopulationSpec,
    ProvenanceSpec,
    disease_name,
)
from pipelines.preprocessing import RECIPES
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import golden_draw
from pipelines.sampler_spec import GuidanceSpec, HeadSpec, LayoutSpec, SamplerSpec
from pipelines.self_test import golden_name
from pipelines.training.calibrate import COVERAGE, Calibration, calibrate
from pipelines.training.card import write_card
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.phenotypes import fit_scaler
from pipelines.training.run import Training

VIEW: Final = "long-axis four-chamber"
TOLERANCE: Final = 1e-4
SIMULATED_USE: Final = (
    "Demonstration and interface testing of a CardioNode. Simulated model: not for clinical use."
)
RESEARCH_USE: Final = "Research only; not validated for clinical use."

Tensors = dict[str, Tensor]


def build_bundle(folder: Path, training: Training, metrics: dict[str, Any]) -> Bundle:
    """Calibrate, export, write, and load the bundle as a node does.

    metrics: what `cardionets evaluate` measured. Raises BundleError (the graphs do not give what
    the networks give, or the folder holds other files).
    """
    calibration = calibrate(training.ecg_network(), training.data)
    offered = offered_of(training.data, calibration)
    served = _served_ecg(training, calibration, offered)
    inputs = _example(training.data.statement)
    with torch.inference_mode():
        answers = dict(zip(served.outputs, served(*inputs.values()), strict=True))
    drawing = _layout if training.configuration.sampling.sampler == "layout" else _generator
    sampler, graphs, golden = drawing(training, answers["condition"])
    graphs["ecg"] = export_graph(served, inputs, served.outputs)
    golden |= {name: value.numpy() for name, value in (inputs | answers).items()}
    manifest = _manifest(training, calibration, offered, sampler, graphs)
    bundle = write_bundle(
        folder,
        manifest,
        graphs=graphs,
        golden=golden,
        model_card=write_card(manifest, metrics),
        metrics=json.dumps(metrics, indent=2) + "\n",
    )
    load_pipeline(bundle, OnnxRuntime(threads=1))
    return bundle


def served_pipeline(training: Training) -> EcgToCmr:
    """What a node would serve of a finished training. Raises as `build_bundle`."""
    with TemporaryDirectory() as folder:
        bundle = build_bundle(Path(folder) / training.configuration.name, training, {})
        return load_pipeline(bundle, OnnxRuntime(threads=training.configuration.threads or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """Places, among all that a training set names, of what a bundle can answer for."""

    phenotypes: tuple[int, ...]
    diseases: tuple[int, ...]


def offered_of(data: TrainingSet, calibration: Calibration) -> Offered:
    """What was learned and could be calibrated; a derived phenotype with all that it is made of."""
    part = data.statement.train_part
    learned = ~np.isnan(data.phenotypes[part]).all(axis=0)
    known = learned & ~np.isnan(calibration.interval_scale)
    fields: dict[str, int] = {}
    for place, phenotype in enumerate(PHENOTYPES):
        operands = () if phenotype.derivation is None else phenotype.derivation.of
        if known[place] and all(operand in fields for operand in operands):
            fields[phenotype.field_id] = place
    labels = data.diseases[part]
    both = (labels == 1).any(axis=0) & (labels == 0).any(axis=0)
    screened = np.flatnonzero(both & ~np.isnan(calibration.platt[0]))
    return Offered(phenotypes=tuple(fields.values()), diseases=tuple(screened.tolist()))


def not_offered(statement: Statement, manifest: Manifest) -> tuple[str, ...]:
    """Ids of the phenotypes and diseases that the set names and the bundle leaves out."""
    named = (*statement.field_ids, *statement.diseases)
    return tuple(field_id for field_id in named if field_id not in manifest.field_ids)


def _served_ecg(training: Training, calibration: Calibration, offered: Offered) -> ServedEcg:
    scaler = fit_scaler(training.data)
    return ServedEcg(
        training.ecg_network(),
        location=torch.from_numpy(scaler.mean),
        scale=torch.from_numpy(scaler.scale),
        platt=torch.from_numpy(calibration.platt).float(),
        phenotypes=torch.tensor(offered.phenotypes, dtype=torch.int64),
        diseases=torch.tensor(offered.diseases, dtype=torch.int64),
    ).eval()


def _example(statement: Statement) -> Tensors:
    """An ECG of nobody, and half a subject."""
    ecg = example_ecg(RECIPES[statement.recipe]).astype(np.float32)  # (12, T) mV
    known = torch.tensor([[1.0, 0.5, 1.0, -1.0]])  # age and sex; height and weight are unknown
    subject = torch.cat([known, torch.zeros(1, SUBJECT - 4)], dim=1)
    return {"ecg": torch.from_numpy(ecg)[None], "subject": subject}


Drawing = tuple[LayoutSpec | SamplerSpec, dict[str, bytes], dict[str, NDArray[np.float32]]]
"""The sampler, its graphs, and what torch answers to golden inputs."""


def _layout(training: Training, condition: Tensor) -> Drawing:
    sampling, layout = training.configuration.sampling, training.layout()
    spec = LayoutSpec(
        kind="layout",
        latent=layout.latent,
        components=layout.size.components,
        samples=sampling.samples,
        shown=sampling.shown,
        presets=sampling.presets,
    )
    noise = torch.from_numpy(seeded_noise(spec, "golden")[:2])  # (2, G): an open size is not 1
    inputs = {"condition": condition.repeat(len(noise), 1), "noise": noise}
    served = ServedLayout(layout, sampling.steps).eval()
    decoder = CineDecoder(training.autoencoder()).eval()
    with torch.inference_mode():
        latents = served(*inputs.values())
        frames = decoder(latents[:1])
    samples = torch.export.Dim("samples", min=1)
    graphs = {
        "layout": export_graph(served, inputs, ["latent"], {name: {0: samples} for name in inputs}),
        "decoder": export_graph(decoder, {"latent": latents[:1]}, OUTPUTS["decoder"]),
    }
    found = {f"layout.{name}": value for name, value in (inputs | {"latent": latents}).items()}
    found |= {"decoder.latent": latents[:1], "decoder.frames": frames}
    return spec, graphs, {name: value.numpy() for name, value in found.items()}


def _generator(training: Training, condition: Tensor) -> Drawing:
    sampling, generator = training.configuration.sampling, training.generator()
    shown = sampling.shown
    assert shown != "expected"  # of the configuration
    size, autoencoder = generator.size, training.autoencoder()
    spec = SamplerSpec(
        kind="masked-autoregressive",
        latent=size.latent,
        patch=size.patch,
        tokens=size.tokens,
        token_values=size.token,
        decoding="all",
        ar_steps=sampling.ar_steps,
        head=_head(generator, sampling.steps),
        guidance=GuidanceSpec(scale=sampling.guidance, schedule="constant"),
        temperature=1.0,
        samples=sampling.samples,
        shown=shown,
        presets=sampling.presets,
    )
    short, chance = golden_draw(spec)
    with torch.inference_mode():
        steps = generator.draw(
            condition,
            torch.from_numpy(chance.order),
            torch.from_numpy(chance.noise),
            _drawing_of(generator, short.head.steps),
            schedule=short.schedule,
            scales=short.scales(),
        )
        latent = generator.assemble(list(steps))
    networks = sampler_networks(generator, autoencoder)
    inputs = sampler_inputs(generator, latent, chance)
    found: Tensors = {}
    with torch.inference_mode():
        for role, network in networks.items():
            (output,) = OUTPUTS[role]
            named = {**inputs[role], output: network(*inputs[role].values())}
            found |= {golden_name(role, name): value for name, value in named.items()}
    golden = {name: value.numpy() for name, value in found.items()}
    return spec, export_sampler(networks, inputs), golden


def _head(generator: Generator, steps: int) -> HeadSpec:
    if isinstance(generator.diffloss, FlowHead):
        return HeadSpec(kind="flow", steps=steps, solver=Solver.HEUN)
    return HeadSpec(kind="diffusion", steps=steps)


def _drawing_of(generator: Generator, steps: int) -> Head:
    head = generator.diffloss
    if isinstance(head, FlowHead):
        return partial(head.sample, steps=steps, solver=Solver.HEUN)
    return partial(head.sample, steps=steps)


def _manifest(
    training: Training,
    calibration: Calibration,
    offered: Offered,
    sampler: LayoutSpec | SamplerSpec,
    graphs: dict[str, bytes],
) -> Manifest:
    configuration, statement = training.configuration, training.data.statement
    use = SIMULATED_USE if statement.simulated else RESEARCH_USE
    names = dict(DISEASES)
    return Manifest(
        schema_version=1,
        name=configuration.name,
        version=configuration.version,
        title="12-lead ECG to cardiac MR phenotypes and four-chamber cine",
        graphs=GraphsSpec(
            **{role: graph_spec(graph, f"graphs/{role}.onnx") for role, graph in graphs.items()}
        ),
        phenotypes=tuple(
            _phenotype(PHENOTYPES[place], calibration.interval_scale[place])
            for place in offered.phenotypes
        ),
        diseases=tuple(
            DiseaseSpec(field_id=field_id, name=names.get(field_id) or disease_name(field_id))
            for field_id in (statement.diseases[place] for place in offered.diseases)
        ),
        cine=CineSpec(view=VIEW, frames=FRAMES, rows=SIZE, columns=SIZE),
        sampler=sampler,
        preprocessing=statement.recipe,
        interval_coverage=COVERAGE,
        population=PopulationSpec(
            age_years=configuration.population.age_years,
            description=configuration.population.description,
        ),
        intended_use=use,
        training_data=statement.description,
        simulated=statement.simulated,
        licence=configuration.licence,
        golden=GoldenSpec(file="golden/golden.npz", tolerance=TOLERANCE),
        provenance=ProvenanceSpec(
            config_digest=digest_of_configuration(configuration), seed=configuration.seed
        ),
    )


def digest_of_configuration(configuration: TrainingConfiguration) -> str:
    """SHA-256 of what makes the same bundle again: what it is compared with does not."""
    return sha256(configuration.model_dump_json(exclude={"comparison"}).encode())


def _phenotype(of: Phenotype, interval_scale: float) -> PhenotypeSpec:
    return PhenotypeSpec(
        field_id=of.field_id,
        name=of.name,
        unit=of.unit,
        decimals=of.decimals,
        minimum=of.minimum,
        maximum=of.maximum,
        interval_scale=round(float(interval_scale), 5),
        derivation=_derivation(of),
    )


def _derivation(phenotype: Phenotype) -> DerivationSpec | None:
    of = phenotype.derivation
    if of is None:
        return None
    return DerivationSpec.model_validate({"kind": of.kind, "of": of.of})
