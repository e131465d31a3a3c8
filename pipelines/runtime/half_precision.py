"""A bundle's fp32 graph with half-precision arithmetic inside: what TensorRT builds for fp16.

A bundle holds its weights once, in fp32; TensorRT takes the precision from the graph.
"""

from __future__ import annotations

from typing import Any, Final

from node.domain.errors import BundleError, DeviceError

RECIPE: Final = "1"
"""Part of an engine's name: another one whenever the same graph gives other bytes."""
_PERIODIC: Final = ("Cos", "Sin")
_BEFORE_HALVING: Final = "_cast_to_fp16"
"""How the converter ends the name of what a node that stays in fp32 gives."""


def half_precision(graph: bytes, name: str) -> bytes:
    """The ONNX file with fp16 weights and operators, its inputs and outputs as they were.

    Same bytes, same answer.
    Raises DeviceError (the package onnx is missing), BundleError (not an ONNX file).
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise DeviceError(
            'fp16 needs the package onnx: pip install "cardionode[tensorrt]", '
            'or set model.precision = "fp32"'
        ) from error
    try:
        model = onnx.load_model_from_string(graph)
    except DecodeError as error:
        raise BundleError(
            f"{name} is not an ONNX graph; export the bundle again or install its release"
        ) from error
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"unnamed_{index}"
    halved = convert_float_to_float16(
        model, keep_io_types=True, node_block_list=_angles(model.graph)
    )
    _join_casts(halved.graph, onnx.TensorProto.FLOAT)
    del halved.graph.value_info[:]  # of what the types were
    return bytes(halved.SerializeToString(deterministic=True))


def _angles(graph: Any) -> list[str]:
    """Nodes that make the angle of a sine or cosine: they stay in fp32.

    A time step of hundreds keeps no fraction in fp16, and the head of a sampler is wrong by 2 %.
    """
    makers = {
        output: node for node in graph.node for output in node.output if node.op_type != "Shape"
    }  # which is no number of an angle, whatever it is the shape of
    waiting = [node for node in graph.node if node.op_type in _PERIODIC]
    found = set()
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return sorted(found)


def _join_casts(graph: Any, fp32: int) -> None:
    """From fp32 to fp32 without fp16 between, where the converter put it: after inputs, and between
    nodes that stay in fp32.
    """
    exact = {each.name for each in graph.input if each.type.tensor_type.elem_type == fp32}
    casts = {node.output[0]: node for node in graph.node if node.op_type == "Cast"}
    origins = {
        output: casts[cast.input[0]].input[0]
        for output, cast in casts.items()
        if cast.attribute[0].i == fp32 and cast.input[0] in casts
    }
    for node in graph.node:
        for index, name in enumerate(node.input):
            origin = origins.get(name, "")
            if origin in exact or origin.endswith(_BEFORE_HALVING):
                node.input[index] = origin
