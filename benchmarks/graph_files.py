"""Networks as ONNX files, exported once: those of the published size take minutes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks import networks as sizes
from benchmarks.networks import Network, Networks
from pipelines import cardionets
from pipelines.cardionets.export import export_graph
from pipelines.runtime import Feed

FOLDER: Final = Path(__file__).parents[1] / "build" / "benchmarks"
"""Git ignores it; `make clean` removes it."""
ROLES: Final[dict[str, Callable[[Networks], Network]]] = {
    "ecg": Networks.ecg,
    "layout": Networks.layout,
    "decoder": Networks.decoder,
    "trunk": Networks.trunk,
    "head": Networks.head,
    "diffusion-head": lambda networks: networks.head(diffusion=True),
}


def graph_file(networks: Networks, role: str) -> Path:
    """The ONNX file of a network; exported now unless sizes, code and weights are those of before.

    The inputs of its example run lie beside it.
    """
    name = networks.configuration.name
    file = FOLDER / _state(networks) / f"{name}-{role}.onnx"
    if file.exists():
        return file
    network = ROLES[role](networks)
    inputs = {key: _exportable(role, value) for key, value in network.inputs.items()}
    content = export_graph(network.module, inputs, network.outputs, network.opened)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        example_file(file),
        allow_pickle=False,
        **{key: each.numpy() for key, each in network.inputs.items()},
    )
    partial = file.with_suffix(".partial")
    partial.write_bytes(content)
    partial.rename(file)  # a run that was broken off leaves no half of a graph
    return file


def example_file(graph: Path) -> Path:
    return graph.with_suffix(".npz")


def example_feed(graph: Path) -> Feed:
    """Inputs of the sizes that the graph is served with."""
    with np.load(example_file(graph)) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _exportable(role: str, value: torch.Tensor) -> torch.Tensor:
    """An open size is not exported from 1, which torch takes for a fixed one."""
    return value.repeat(2, 1) if role == "layout" else value


def _state(networks: Networks) -> str:
    """Of everything that a graph follows from."""
    digest = hashlib.sha256(torch.__version__.encode())
    digest.update(str(networks.decoded).encode())
    digest.update(networks.configuration.networks.model_dump_json().encode())
    digest.update(networks.configuration.sampling.model_dump_json().encode())
    code = sorted(Path(cardionets.__path__[0]).glob("*.py"))
    for file in (*code, Path(sizes.__file__)):
        digest.update(file.read_bytes())
    if networks.runs is not None:
        for weights in sorted(networks.runs.glob("*/weights.safetensors")):
            digest.update(weights.read_bytes())
    return digest.hexdigest()[:16]
