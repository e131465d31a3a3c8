"""What an ONNX file says of itself before anything is made of it: its opset, where its weights are.

Read from the bytes: what serves a bundle has no need of the package onnx.
Source: onnx.proto (ModelProto, GraphProto, TensorProto, OperatorSetIdProto) in the wire format of
protocol buffers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

MODEL_GRAPH, MODEL_OPSETS = 7, 8
OPSET_DOMAIN, OPSET_VERSION = 1, 2
GRAPH_INITIALIZER: Final = 5
TENSOR_LOCATION, EXTERNAL = 14, 1
STANDARD: Final = (b"", b"ai.onnx")
"""Names of ONNX's own operators."""
_VARINT, _EIGHT_BYTES, _COUNTED, _FOUR_BYTES = 0, 1, 2, 5


class Declared(NamedTuple):
    """Of one file."""

    opset: int | None
    """Of ONNX's own operators; None where it names none."""
    weights_outside: bool
    """Weights lie in other files."""


def read_declared(content: bytes) -> Declared:
    """Raises ValueError (not an ONNX file, or cut short)."""
    opset, outside = None, False
    for number, value in _fields(memoryview(content)):
        if number == MODEL_OPSETS:
            named = dict(_fields(_message(value)))
            if bytes(_message(named.get(OPSET_DOMAIN, memoryview(b"")))) in STANDARD:
                opset = _number(named.get(OPSET_VERSION, 0))
        elif number == MODEL_GRAPH:
            outside = outside or any(
                part == GRAPH_INITIALIZER
                and dict(_fields(_message(tensor))).get(TENSOR_LOCATION) == EXTERNAL
                for part, tensor in _fields(_message(value))
            )
    return Declared(opset, outside)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number and value: a number, or the bytes of what is counted."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == _COUNTED:
            size, at = _varint(message, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if kind == _EIGHT_BYTES else 4
        else:
            raise ValueError("no field of a protocol buffer")
        if at + size > len(message):
            raise ValueError("cut short")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins there, of at most ten bytes, and where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            return value, at + place + 1
    raise ValueError("a number without an end")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number in the place of a message")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a message in the place of a number")
    return value
