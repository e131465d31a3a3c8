"""Each graph on one thread, in every runtime and precision of a CPU: beside torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch

from benchmarks.effort import Effort
from benchmarks.graph_files import ROLES, example_feed, graph_file
from benchmarks.networks import Network, Networks
from benchmarks.operations import count_operations
from benchmarks.timing import Said, Work, least_cpu
from pipelines.runtime import Runtime
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.openvino import OpenVinoRuntime

RUNTIMES: Final[Mapping[str, Callable[[], Runtime]]] = {
    "onnx fp32": lambda: OnnxRuntime(threads=1),
    "onnx int8": lambda: OnnxRuntime(threads=1, precision="int8"),
    "openvino fp32": lambda: OpenVinoRuntime(threads=1),
    "openvino bf16": lambda: OpenVinoRuntime(threads=1, precision="bf16"),
}
"""The first is what a bundle is served with when nothing is set."""
DEFAULT: Final = "onnx fp32"
SHIPPED: Final = {
    "ecg": "ecg",
    "layout": "layout",
    "decoder": "decoder",
    "trunk": "trunk (tiny)",
    "head": "head (tiny)",
}
"""Role -> what the report calls it."""
PUBLISHED: Final = {"ecg": "ecg (base)", "trunk": "trunk (base)"}
"""Those of the published size; with random weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCost:
    """The least CPU seconds of one run on one thread."""

    graph: str
    flop: int
    ours_s: Mapping[str, float]
    """By runtime and precision."""
    eager_s: float
    """Of torch in fp32, as the network is trained."""
    compiled_s: float | None
    """None where torch.compile was left out."""

    @property
    def default_s(self) -> float:
        return self.ours_s[DEFAULT]

    def fastest(self, allowed: Collection[str]) -> str:
        """The runtime and precision, of those allowed, that costs least."""
        return min(set(self.ours_s) & set(allowed), key=self.ours_s.__getitem__)


def measure_graphs(networks: Networks, effort: Effort, said: Said) -> tuple[GraphCost, ...]:
    """One after the other; torch keeps to one thread for as long."""
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(1)
    wanted = [(networks, role, name) for role, name in SHIPPED.items()]
    if effort.published_size:
        published = Networks.read("base")
        wanted += [(published, role, name) for role, name in PUBLISHED.items()]
    for owner, role, name in wanted:
        said(f"graph {name} beside torch")
        file = graph_file(owner, role)
        found.append(_cost(name, ROLES[role](owner), file, effort, compiled=owner is networks))
    torch.set_num_threads(before)
    return tuple(found)


def _cost(name: str, network: Network, graph: Path, effort: Effort, *, compiled: bool) -> GraphCost:
    feed = example_feed(graph)
    works: dict[str, Work] = {
        runtime: partial(make().load(graph, {}).run, feed) for runtime, make in RUNTIMES.items()
    }
    works["eager"] = _in_torch(network.peer, network)
    if compiled and effort.compiled and can_compile():
        works["compiled"] = _in_torch(torch.compile(network.peer), network)
        works["compiled"]()  # compiles now
    least = least_cpu(works, effort)
    torch.compiler.reset()
    return GraphCost(
        graph=name,
        flop=count_operations(graph, feed).flop,
        ours_s={runtime: least[runtime] for runtime in RUNTIMES},
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
