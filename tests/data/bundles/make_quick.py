"""Makes the bundle `quick` beside this file: tiny graphs of seeded random weights, for tests.

Run from the repository's root: python -m tests.data.bundles.make_quick
Needs onnx; the tests only read what it wrote.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipelines.bundle import write_bundle
from pipelines.cohort import phenotypes as table
from pipelines.manifest import Manifest
from pipelines.runtime.onnx import OnnxRuntime

FOLDER = Path(__file__).parent / "quick"
SEED, OPSET, IR_VERSION = 20_260, 20, 10
POOL, HIDDEN, LATENT = 100, 16, 4
FRAMES, EDGE = 20, 48
# The whole heart and the whole wall: 22 fields; two diseases.
PHENOTYPES = [
    each
    for each in table.PHENOTYPES
    if each.field_id < "24118" or each.field_id in ("24140", "24157", "24174", "24181")
]
DISEASES = table.DISEASES[:2]
N, D = len(PHENOTYPES), len(DISEASES)
INPUTS = {"ecg": (1, 12, 2500), "subject": (1, 8)}
OUTPUTS = {"phenotypes": (1, N), "spread": (1, N), "diseases": (1, D), "latent": (1, LATENT)}
Shapes = dict[str, tuple[int, ...]]

# Means and spreads near Petersen 2017 (JCMR 19:18), in the order of PHENOTYPES.
MEAN = [
    144, 60, 84, 58, 5.4, 88, 152, 68, 84, 55, 70, 29, 41, 58, 78, 42, 36, 46, 6.2, -18, 45, -17,
]  # fmt: skip
SPREAD = [
    30, 16, 18, 6, 1.2, 22, 34, 20, 18, 6, 20, 12, 11, 8, 24, 17, 11, 8, 0.9, 3, 9, 3,
]  # fmt: skip


def ecg_graph(chance: np.random.Generator) -> bytes:
    """Mean magnitude of each 0.4 s and the subject, then two linear layers."""
    width = 12 * 2500 // POOL + 8
    hidden = {"hidden.w": chance.normal(0, 1.0 / width**0.5, (width, HIDDEN)) * 3}
    sizes = {"phenotypes": N, "spread": N, "diseases": D, "latent": LATENT}
    heads = {f"{name}.w": chance.normal(0, 0.25, (HIDDEN, size)) for name, size in sizes.items()}
    weights = hidden | heads | {
        "mean": np.array([MEAN]),
        "scale": np.array([SPREAD]),
        "prior": np.array([[-3.0, -2.5]]),
        "half": np.array([0.5]),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Abs", ["ecg"], ["magnitude"]),
        node("AveragePool", ["magnitude"], ["pooled"], kernel_shape=[POOL], strides=[POOL]),
        node("Flatten", ["pooled"], ["flat"]),
        node("Concat", ["flat", "subject"], ["joined"], axis=1),
        node("MatMul", ["joined", "hidden.w"], ["mixed"]),
        node("Tanh", ["mixed"], ["hidden"]),
        *[node("MatMul", ["hidden", f"{name}.w"], [f"{name}.raw"]) for name in sizes],
        node("Mul", ["phenotypes.raw", "scale"], ["departure"]),
        node("Add", ["departure", "mean"], ["phenotypes"]),
        node("Sigmoid", ["spread.raw"], ["share"]),
        node("Add", ["share", "half"], ["width"]),
        node("Mul", ["width", "scale"], ["spread"]),
        node("Add", ["diseases.raw", "prior"], ["diseases"]),
        node("Tanh", ["latent.raw"], ["latent"]),
    ]
    return model("quick-ecg", nodes, INPUTS, OUTPUTS, weights)


def cine_graph() -> bytes:
    """A bright disc that shrinks to systole and back; the latent sets size and stroke."""
    across = np.arange(EDGE) - (EDGE - 1) / 2
    distance = np.hypot(*np.meshgrid(across, across))[np.newaxis, np.newaxis]
    beat = np.sin(np.pi * np.arange(FRAMES) / FRAMES) ** 2
    weights = {
        "size.w": np.array([[1.5], [0.5], [0.0], [0.0]]),
        "stroke.w": np.array([[0.0], [0.0], [1.0], [0.5]]),
        "size.mean": np.array([14.0]),
        "stroke.mean": np.array([5.0]),
        "beat": beat.reshape(1, FRAMES, 1, 1),
        "distance": distance,
        "floor": np.array([0.125]),
        "contrast": np.array([0.75]),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["latent", "size.w"], ["size.raw"]),
        node("Add", ["size.raw", "size.mean"], ["size"]),
        node("MatMul", ["latent", "stroke.w"], ["stroke.raw"]),
        node("Add", ["stroke.raw", "stroke.mean"], ["stroke"]),
        node("Mul", ["beat", "stroke"], ["shrunk"]),
        node("Sub", ["size", "shrunk"], ["radius"]),
        node("Sub", ["radius", "distance"], ["inside"]),
        node("Sigmoid", ["inside"], ["disc"]),
        node("Mul", ["disc", "contrast"], ["lit"]),
        node("Add", ["lit", "floor"], ["frames"]),
    ]
    return model(
        "quick-cine", nodes, {"latent": OUTPUTS["latent"]}, {"frames": frames_shape()}, weights
    )


def frames_shape() -> tuple[int, ...]:
    return (1, FRAMES, EDGE, EDGE)


def model(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: Shapes,
    outputs: Shapes,
    weights: dict[str, NDArray[np.float64]],
) -> bytes:
    def values(shapes: Shapes) -> list[onnx.ValueInfoProto]:
        return [
            helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
            for key, shape in shapes.items()
        ]

    constants = [
        numpy_helper.from_array(value.astype(np.float32), key) for key, value in weights.items()
    ]
    graph = helper.make_graph(nodes, name, values(inputs), values(outputs), constants)
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString(deterministic=True)


def manifest() -> Manifest:
    def graph(file: str, inputs: Shapes, outputs: Shapes) -> dict[str, object]:
        return {
            "file": file, "opset": OPSET, "precision": "fp32",
            "inputs": tensors(inputs), "outputs": tensors(outputs),
        }  # fmt: skip

    def tensors(shapes: Shapes) -> list[dict[str, object]]:
        return [{"name": k, "dtype": "float32", "shape": shape} for k, shape in shapes.items()]

    return Manifest.model_validate(
        {
            "schema_version": 1,
            "name": "quick-test",
            "version": "1.0.0",
            "title": "Random weights for tests",
            "graphs": {
                "ecg": graph("graphs/ecg.onnx", INPUTS, OUTPUTS),
                "cine": graph(
                    "graphs/cine.onnx", {"latent": OUTPUTS["latent"]}, {"frames": frames_shape()}
                ),
            },
            "phenotypes": [
                {
                    "field_id": p.field_id, "name": p.name, "unit": p.unit,
                    "decimals": p.decimals, "minimum": p.minimum, "maximum": p.maximum,
                    "interval_scale": 1.645,
                    "derivation": p.derivation
                    and {"kind": p.derivation.kind, "of": p.derivation.of},
                }
                for p in PHENOTYPES
            ],
            "diseases": [{"field_id": key, "name": name} for key, name in DISEASES],
            "cine": {
                "view": "long-axis four-chamber",
                "frames": FRAMES, "rows": EDGE, "columns": EDGE,
            },
            "preprocessing": "cardionode-1",
            "interval_coverage": 0.9,
            "population": {"age_years": (20, 90), "description": "Nobody: the weights are random."},
            "intended_use": "Tests of cardionode. The numbers mean nothing.",
            "training_data":
                "none: random weights for tests; simulated cohort, not for clinical use",
            "simulated": True,
            "licence": "Apache-2.0",
            "golden": {"file": "golden/golden.npz", "tolerance": 1e-4},
            "provenance": {"config_digest": "none", "seed": SEED},
        }
    )  # fmt: skip


def golden_inputs() -> dict[str, NDArray[np.float32]]:
    """One beat a second of plain bells, in steps of 1/64 mV so that the archive stays small."""
    time = np.arange(2500) / 250.0
    bell = np.exp(-(((time % 1.0) - 0.4) ** 2) / 0.0008)
    gains = np.linspace(-0.5, 1.5, 12)[:, np.newaxis]
    ecg = np.round(64 * gains * bell) / 64
    subject = np.array([[1, 0.5, 1, -1, 1, 0.25, 0, 0]])
    return {"ecg": ecg[np.newaxis].astype(np.float32), "subject": subject.astype(np.float32)}


def main() -> None:
    graphs = {"ecg": ecg_graph(np.random.default_rng(SEED)), "cine": cine_graph()}
    described, golden = manifest(), golden_inputs()
    for role, spec in described.graphs.offered.items():
        path = FOLDER / spec.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(graphs[role])
        session = OnnxRuntime(threads=1).load(path, {})
        golden |= session.run({tensor.name: golden[tensor.name] for tensor in session.inputs})
    write_bundle(
        FOLDER,
        described,
        graphs=graphs,
        golden=golden,
        model_card="# quick-test\n\nRandom weights. For tests of cardionode only.\n",
        metrics="{}\n",
    )


if __name__ == "__main__":
    main()
