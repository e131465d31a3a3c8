"""Each graph on one thread, in every runtime and precision of a CPU: beside torch.

And how far each strays from fp32, held against the gates at which a node serves with fewer bits.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
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
from node.domain.errors import DeviceError
from pipelines.parity import GATES, RelativeError
from pipelines.runtime import Feed, Runtime, Session
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
PUBLISHED: Final = {"ecg": "ecg (base)", "trunk": "trunk (base)", "head": "head (base)"}
"""Those of the published size; with random weights."""
EXACT: Final = 1e-4
"""The largest error of a runtime in fp32, as the shipped bundle allows it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCost:
    """The least CPU seconds of one run on one thread."""

    graph: str
    flop: int
    ours_s: Mapping[str, float]
    """By runtime and precision."""
    strayed: Mapping[str, float]
    """Root mean square from `DEFAULT`, over the size of the tensor that strays most."""
    passing: tuple[str, ...]
    """Those whose every tensor passes the gate of their precision."""
    eager_s: float
    """Of torch in fp32, as the network is trained."""
    compiled_s: float | None
    """None where torch.compile was left out."""

    @property
    def default_s(self) -> float:
        return self.ours_s[DEFAULT]

    def fastest(self, allowed: Collection[str]) -> str:
        """The runtime and precision, of those allowed that pass, that costs least."""
        return min(set(self.passing) & set(allowed), key=self.ours_s.__getitem__)


def measure_graphs(
    networks: Networks, published: Networks | None, effort: Effort, said: Said
) -> tuple[GraphCost, ...]:
    """One after the other; torch keeps to one thread for as long."""
    before, found = torch.get_num_threads(), []
    torch.set_num_threads(1)
    wanted = [(networks, role, name) for role, name in SHIPPED.items()]
    if published is not None:
        wanted += [(published, role, name) for role, name in PUBLISHED.items()]
    for owner, role, name in wanted:
        said(f"graph {name} beside torch")
        file = graph_file(owner, role)
        found.append(_cost(name, ROLES[role](owner), file, effort, compiled=owner is networks))
    torch.set_num_threads(before)
    return tuple(found)


def _cost(name: str, network: Network, graph: Path, effort: Effort, *, compiled: bool) -> GraphCost:
    feed = example_feed(graph)
    sessions = _sessions(graph)
    works: dict[str, Work] = {
        runtime: partial(session.run, feed) for runtime, session in sessions.items()
    }
    errors = _errors(sessions, feed)
    works["eager"] = _in_torch(network.peer, network)
    if compiled and effort.compiled and can_compile():
        works["compiled"] = _in_torch(torch.compile(network.peer), network)
        works["compiled"]()  # compiles now
    least = least_cpu(works, effort)
    torch.compiler.reset()
    return GraphCost(
        graph=name,
        flop=count_operations(graph, feed).flop,
        ours_s={runtime: least[runtime] for runtime in sessions},
        strayed={
            runtime: max(error.root_mean_square for error in found)
            for runtime, found in errors.items()
        },
        passing=tuple(
            runtime
            for runtime, found in errors.items()
            if all(_passes(runtime.split()[1], error) for error in found)
        ),
        eager_s=least["eager"],
        compiled_s=least.get("compiled"),
    )


def _sessions(graph: Path) -> dict[str, Session]:
    """In every runtime and precision that this processor has."""
    found = {}
    for runtime, make in RUNTIMES.items():
        with suppress(DeviceError):
            found[runtime] = make().load(graph, {})
    return found


def _errors(sessions: Mapping[str, Session], feed: Feed) -> dict[str, list[RelativeError]]:
    """Of every output."""
    expected = sessions[DEFAULT].run(feed)
    return {
        runtime: [
            RelativeError.of(given, expected[name]) for name, given in session.run(feed).items()
        ]
        for runtime, session in sessions.items()
    }


def _passes(precision: str, error: RelativeError) -> bool:
    return error.largest <= EXACT if precision == "fp32" else GATES[precision].passes(error)


def _in_torch(module: Callable[..., object], network: Network) -> Work:
    @torch.inference_mode()
    def run() -> object:
        return module(*network.inputs.values())

    return run


def can_compile() -> bool:
    """Whether torch.compile finds the compiler that it needs."""
    return any(shutil.which(name) for name in ("g++", "clang++"))
