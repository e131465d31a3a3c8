"""What a graph must do at least, counted from its nodes: floating-point operations and bytes.

Counted are matrix products and convolutions; norms, activations and copies are not, so that the
roof is one that no runtime can reach quite.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from pipelines.runtime import Feed

BYTES: Final = 4
"""Of a float32."""
SMALL: Final = 1024
"""Values up to which a constant is kept: shapes follow from it."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """Of one run: floating-point operations, bytes of weights, bytes of activations.

    Both count each time that a counted node reads or writes them: what one node leaves in a cache
    for the next is the runtime's gain.
    """

    flop: int
    weight_bytes: int
    activation_bytes: int

    @property
    def moved_bytes(self) -> int:
        return self.weight_bytes + self.activation_bytes


def count_operations(graph: Path, feed: Feed) -> Operations:
    """Of the graph in a file for inputs of these shapes.

    Raises AssertionError (a size that does not follow from the inputs' shapes).
    """
    return operations_of(onnx.load(graph), {name: value.shape for name, value in feed.items()})


def operations_of(model: Any, inputs: Mapping[str, Shape]) -> Operations:
    shapes, weights = _shapes(model, inputs), _weights(model)
    flop, streamed, activations = 0, 0, 0
    for node in model.graph.node:
        if node.op_type not in _COUNTED:
            continue
        read, written = [name for name in node.input if name], node.output[0]
        flop += _COUNTED[node.op_type](node, shapes)
        streamed += sum(math.prod(weights[name]) for name in read if name in weights)
        moved = [*(name for name in read if name not in weights), written]
        activations += sum(math.prod(shapes[name]) for name in moved)
    return Operations(
        flop=flop,
        weight_bytes=BYTES * streamed,
        activation_bytes=BYTES * activations,
    )


def _matmul(node: Any, shapes: Mapping[str, Shape]) -> int:
    inner = shapes[node.input[0]][-1]
    return 2 * inner * math.prod(shapes[node.output[0]])


def _gemm(node: Any, shapes: Mapping[str, Shape]) -> int:
    transposed = any(each.name == "transA" and each.i for each in node.attribute)
    inner = shapes[node.input[0]][0 if transposed else 1]
    return 2 * inner * math.prod(shapes[node.output[0]])


def _conv(node: Any, shapes: Mapping[str, Shape]) -> int:
    """Each value of the output is a product over a kernel: channels of its group, and taps."""
    kernel = shapes[node.input[1]]
    return 2 * math.prod(kernel[1:]) * math.prod(shapes[node.output[0]])


_COUNTED: Final = {"MatMul": _matmul, "Gemm": _gemm, "Conv": _conv}


def _weights(model: Any) -> dict[str, Shape]:
    return {each.name: tuple(each.dims) for each in model.graph.initializer}


def _shapes(model: Any, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Of every tensor that a counted node touches."""
    inferred = SymbolicShapeInference.infer_shapes(_light(model, inputs), auto_merge=True)
    found = _weights(model)
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        sizes = value.type.tensor_type.shape.dim
        if all(size.HasField("dim_value") for size in sizes):
            found[value.name] = tuple(size.dim_value for size in sizes)
    needed = [
        name
        for node in model.graph.node if node.op_type in _COUNTED
        for name in (*node.input, node.output[0]) if name
    ]  # fmt: skip
    unknown = sorted(set(needed) - set(found))
    if unknown:
        raise AssertionError(f"no shape follows for {', '.join(unknown[:3])} of {len(unknown)}")
    return found


def _light(model: Any, inputs: Mapping[str, Shape]) -> Any:
    """The graph with sizes for its inputs, large weights as inputs, and no inferred shapes."""
    helper, graph = onnx.helper, model.graph
    small = [each for each in graph.initializer if math.prod(each.dims) <= SMALL]
    large = [each for each in graph.initializer if math.prod(each.dims) > SMALL]
    given: Sequence[Any] = [
        *(
            helper.make_tensor_value_info(
                each.name, each.type.tensor_type.elem_type, inputs[each.name]
            )
            for each in graph.input
        ),
        *(helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in large),
    ]
    wanted = [
        helper.make_tensor_value_info(each.name, each.type.tensor_type.elem_type, None)
        for each in graph.output
    ]
    bare = helper.make_graph(list(graph.node), "shapes", given, wanted, small)
    return helper.make_model(
        bare, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
