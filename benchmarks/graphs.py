"""Each graph on one thread: ONNX Runtime beside torch, eager and compiled."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from benchmarks.effort import Effort
from benchmarks.graph_files import ROLES, example_feed, graph_file
from benchmarks.networks import Network, Networks
from benchmarks.operations import count_operations
from benchmarks.timing import Said, Work, least_cpu
from pipelines.runtime.onnx import OnnxRuntime

MEASURED: Final = {
    "ecg": "ecg",
    "layout": "layout",
    "decoder": "decoder",
    "trunk": "trunk (tiny)",
    "head": "head (tiny)",
}
"""Role -> what the report calls it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCost:
    """The least CPU seconds of one run on one thread, in fp32."""

    graph: str
    flop: int
    onnx_s: float
    eager_s: float
    compiled_s: float | None
    """None where torch.compile was left out."""


def measure_graphs(networks: Networks, effort: Effort, said: Said) -> tuple[GraphCost, ...]:
    """One after the other; torch keeps to one thread for as long."""
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(1)
    for role, name in MEASURED.items():
        said(f"graph {name} beside torch")
        found.append(_cost(name, ROLES[role](networks), graph_file(networks, role), effort))
    torch.set_num_threads(before)
    return tuple(found)


def _cost(name: str, network: Network, graph: Path, effort: Effort) -> GraphCost:
    session, feed = OnnxRuntime(threads=1).load(graph, {}), example_feed(graph)
    works: dict[str, Work] = {
        "onnx": lambda: session.run(feed),
        "eager": _in_torch(network.module, network),
    }
    if effort.compiled and can_compile():
        works["compiled"] = _in_torch(torch.compile(network.module), network)
        works["compiled"]()  # compiles now
    least = least_cpu(works, effort)
    torch.compiler.reset()
    return GraphCost(
        graph=name,
        flop=count_operations(graph, feed).flop,
        onnx_s=least["onnx"],
        eager_s=least["eager"],
        compiled_s=least.get("compiled"),
    )


def _in_torch(module: Callable[..., object], network: Network) -> Work:
    @torch.inference_mode()
    def run() -> object:
        return module(*network.inputs.values())

    return run


def can_compile() -> bool:
    """Whether torch.compile finds the compiler that it needs."""
    return any(shutil.which(name) for name in ("g++", "clang++"))
