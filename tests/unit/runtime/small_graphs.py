"""Graphs of a few operators, with known answers."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20


def doubling(dimension: str | int = "samples", width: int = 3) -> bytes:
    """x (samples, width) -> y = 2 x, of which fp16 gives the same numbers."""
    return _model(
        [helper.make_node("Mul", ["x", "two"], ["y"], name="doubling")],
        [dimension, width],
        [numpy_helper.from_array(np.array(2.0, np.float32), "two")],
    )


def logarithm() -> bytes:
    """x (1, 3) -> y = ln x: no number for what is below zero."""
    return _model([helper.make_node("Log", ["x"], ["y"], name="logarithm")], [1, 3])


def clock() -> bytes:
    """x (1, 3) -> y = cos(x + 1/4) times 1/2, -1, 2: of angles that fp16 has no fractions for."""
    weights = numpy_helper.from_array(np.array([0.5, -1.0, 2.0], np.float32), "weights")
    nodes = [
        helper.make_node("Add", ["x", "quarter"], ["angle"]),
        helper.make_node("Cos", ["angle"], ["cos"]),
        helper.make_node("Mul", ["cos", "weights"], ["y"]),
    ]
    quarter = numpy_helper.from_array(np.array(0.25, np.float32), "quarter")
    return _model(nodes, [1, 3], [weights, quarter])


def fourier() -> bytes:
    """An operator that no TensorRT has."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["real"]),
        helper.make_node("DFT", ["real", "", "axis"], ["spectrum"], name="fourier_transform"),
        helper.make_node("ReduceSum", ["spectrum", "last"], ["y"], keepdims=0),
    ]
    last = numpy_helper.from_array(np.array([2], np.int64), "last")
    axis = numpy_helper.from_array(np.array(1, np.int64), "axis")
    return _model(nodes, [1, 8], [last, axis])


def _model(
    nodes: list[onnx.NodeProto],
    shape: list[str | int],
    constants: list[onnx.TensorProto] | None = None,
) -> bytes:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy")
    model = helper.make_model(
        helper.make_graph(nodes, "small", [x], [y], constants or []),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
