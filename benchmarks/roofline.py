"""How near each graph comes to what the processor can do: one thread of ONNX Runtime, fp32.

The roof is measured in the same run: operations a second of a large square matrix product in the
same runtime, and bytes a second of a copy too large for any cache.
Source: Williams et al. 2009 (CACM 52(4), the roofline model).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.effort import Effort
from benchmarks.graph_files import example_feed, graph_file
from benchmarks.networks import Networks
from benchmarks.operations import count_operations
from benchmarks.timing import Said, least_cpu
from pipelines.cardionets.export import OPSET
from pipelines.runtime.onnx import OnnxRuntime

SIDES: Final = (512, 1024, 2048)
"""Of the square matrices; the fastest product is the peak."""
COPIED: Final = 2**28
"""Bytes: more than the last cache of any processor that is measured."""
SHIPPED: Final = ("ecg", "layout", "decoder")
IR_VERSION: Final = 10
"""Of the files that the exporter writes."""
DECODED: Final = 5
"""Of 25 latent frames: the published decoder does 15 TFLOP for a cine, and its work per frame is
the same but for the attention in its middle."""
PUBLISHED: Final = ("ecg", "trunk", "head", "decoder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A graph under the roof."""

    graph: str
    flop: int
    weight_bytes: int
    activation_bytes: int
    seconds: float
    """The least CPU time of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    peak_flop_s: float
    bandwidth_byte_s: float
    graphs: tuple[Placed, ...]

    def intensity(self, graph: Placed) -> float:
        """Operations for each byte that must move at least."""
        return graph.flop / (graph.weight_bytes + graph.activation_bytes)

    def is_compute_bound(self, graph: Placed) -> bool:
        return self.intensity(graph) * self.bandwidth_byte_s >= self.peak_flop_s

    def of_peak(self, graph: Placed) -> float:
        """Operations a second over the peak's."""
        return graph.flop / graph.seconds / self.peak_flop_s

    def of_roof(self, graph: Placed) -> float:
        """Over what the roof allows: the peak, or what memory lets through."""
        roof = min(self.peak_flop_s, self.intensity(graph) * self.bandwidth_byte_s)
        return graph.flop / graph.seconds / roof


def measure_roofline(
    shipped: Networks, published: Networks | None, effort: Effort, said: Said
) -> Roofline:
    wanted = [(shipped, role) for role in SHIPPED]
    if published is not None:
        wanted += [(published, role) for role in PUBLISHED]
    said("peak of the processor and of its memory")
    peak, bandwidth, placed = measure_peak(effort), measure_bandwidth(effort), []
    for networks, role in wanted:
        name = f"{networks.configuration.name} {role}"
        said(f"roofline: {name}")
        placed.append(_place(name, graph_file(networks, role), effort))
    return Roofline(
        peak_flop_s=max(peak, measure_peak(effort)),  # of before and after
        bandwidth_byte_s=bandwidth,
        graphs=tuple(placed),
    )


def measure_peak(effort: Effort) -> float:
    """Operations a second of one thread, in a product of square matrices."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "product.onnx"
        return max(_product_rate(file, side, effort) for side in SIDES)


def _product_rate(file: Path, side: int, effort: Effort) -> float:
    square = np.random.default_rng(side).standard_normal((side, side), np.float32)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (side, side)) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product", values[:1], values[1:], [numpy_helper.from_array(square, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                                ir_version=IR_VERSION), file)  # fmt: skip
    session = OnnxRuntime(threads=1).load(file, {})
    seconds = least_cpu({"product": lambda: session.run({"x": square})}, effort)["product"]
    return 2.0 * side**3 / seconds


def measure_bandwidth(effort: Effort) -> float:
    """Bytes a second of one thread that copies: each is read once and written once."""
    source = np.ones(COPIED // 4, np.float32)
    target = np.zeros_like(source)
    np.copyto(target, source)  # the system gives memory at the first touch
    seconds = least_cpu({"copy": lambda: np.copyto(target, source)}, effort)["copy"]
    return 2.0 * COPIED / seconds


def _place(name: str, file: Path, effort: Effort) -> Placed:
    feed = example_feed(file)
    counted = count_operations(file, feed)
    session = OnnxRuntime(threads=1).load(file, {})
    return Placed(
        graph=name,
        flop=counted.flop,
        weight_bytes=counted.weight_bytes,
        activation_bytes=counted.activation_bytes,
        seconds=least_cpu({name: lambda: session.run(feed)}, effort)[name],
    )
