"""Operations and bytes of graphs small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from onnx import TensorProto, helper

from benchmarks.operations import Operations, operations_of

Shapes = dict[str, tuple[int | str, ...]]


def graph(
    nodes: Sequence[Any],
    inputs: Shapes,
    outputs: Shapes,
    weights: Sequence[tuple[str, tuple[int, ...], int]],
) -> Any:
    """weights: name, shape and count of values of each."""

    def values(shapes: Shapes) -> list[Any]:
        return [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]

    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, shape, [0.0] * count)
        for name, shape, count in weights
    ]
    made = helper.make_graph(nodes, "counted", values(inputs), values(outputs), constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_product_of_matrices_is_two_operations_a_term() -> None:
    model = graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (2, 3, 4)},
        {"y": (2, 3, 5)},
        [("w", (4, 5), 20)],
    )
    assert operations_of(model, {"x": (2, 3, 4)}) == Operations(
        flop=2 * (2 * 3 * 5) * 4,
        weight_bytes=4 * 20,
        activation_bytes=4 * (2 * 3 * 4 + 2 * 3 * 5),
    )


def test_a_convolution_counts_the_taps_of_its_group() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 1, 1, 1])
    model = graph([node], {"x": (1, 4, 6, 6)}, {"y": (1, 8, 6, 6)}, [("w", (8, 2, 3, 3), 144)])
    found = operations_of(model, {"x": (1, 4, 6, 6)})
    assert found.flop == 2 * (8 * 6 * 6) * (2 * 3 * 3)
    assert found.weight_bytes == 4 * 144


def test_a_transposed_gemm_sums_over_its_first_axis() -> None:
    node = helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)
    model = graph([node], {"x": (7, 2)}, {"y": (2, 3)}, [("w", (7, 3), 21)])
    assert operations_of(model, {"x": (7, 2)}).flop == 2 * 7 * 2 * 3


def test_open_sizes_follow_from_the_inputs_and_weights_count_each_time_they_are_read() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    model = graph(nodes, {"x": ("rows", 4)}, {"y": ("rows", 4)}, [("w", (4, 4), 16)])
    assert operations_of(model, {"x": (5, 4)}) == Operations(
        flop=2 * (2 * 5 * 4 * 4), weight_bytes=2 * 4 * 16, activation_bytes=4 * 4 * (5 * 4)
    )


def test_a_size_that_follows_from_no_shape_is_not_guessed() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "wanted"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["y"]),
    ]
    model = graph(nodes, {"x": (4, 4)}, {"y": ("rows", 4)}, [("w", (4, 4), 16)])
    model.graph.input.append(helper.make_tensor_value_info("wanted", TensorProto.INT64, (2,)))
    with pytest.raises(AssertionError, match="no shape follows"):
        operations_of(model, {"x": (4, 4), "wanted": (2,)})
