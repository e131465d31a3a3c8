"""PDUs of the upper layer, to and from bytes: all but the association's request and its acceptance.

Source: DICOM PS3.8 §9.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

HEADER: Final = struct.Struct(">BxI")
"""PDU type, reserved, length of what follows."""
_PDV_HEADER: Final = struct.Struct(">IBB")
"""Length of what follows, presentation context ID, message control header."""
_COMMAND: Final = 0x01
_LAST: Final = 0x02
"""Bits of the message control header. Source: DICOM PS3.8 annex E.2."""


class PduType(IntEnum):
    A_ASSOCIATE_RQ = 0x01
    A_ASSOCIATE_AC = 0x02
    A_ASSOCIATE_RJ = 0x03
    P_DATA_TF = 0x04
    A_RELEASE_RQ = 0x05
    A_RELEASE_RP = 0x06
    A_ABORT = 0x07

    def __str__(self) -> str:
        return self.name.replace("_", "-")


class AbortReason(IntEnum):
    """Why the upper layer itself aborts. Source: DICOM PS3.8 table 9-26."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6


class ProtocolViolation(Exception):
    """The peer broke PS3.7 or PS3.8; ends its association with an A-ABORT, never leaves it."""

    def __init__(self, reason: AbortReason, message: str) -> None:
        """message: for our log; nothing of what the peer sent."""
        super().__init__(message)
        self.reason = reason
        self.message = message


class DataValue(NamedTuple):
    """One presentation data value: a fragment of a command set or of a data set."""

    context_id: int
    is_command: bool
    is_last: bool
    fragment: memoryview


def encode_pdu(kind: PduType, body: bytes) -> bytes:
    return HEADER.pack(kind, len(body)) + body


def encode_reject(result: int, source: int, reason: int) -> bytes:
    """Source: DICOM PS3.8 §9.3.4."""
    return encode_pdu(PduType.A_ASSOCIATE_RJ, bytes((0, result, source, reason)))


def encode_release_response() -> bytes:
    return encode_pdu(PduType.A_RELEASE_RP, bytes(4))


def encode_abort(reason: AbortReason | None) -> bytes:
    """None: the abort is ours (service user), else the upper layer's (service provider).

    Source: DICOM PS3.8 §9.3.8.
    """
    answer = (0, 0) if reason is None else (2, reason)
    return encode_pdu(PduType.A_ABORT, bytes((0, 0, *answer)))


def decode_data(body: memoryview) -> Iterator[DataValue]:
    """The presentation data values of a P-DATA-TF.

    Raises ProtocolViolation (none in it, or lengths that do not add up).
    Source: DICOM PS3.8 §9.3.5.
    """
    if not body:
        raise ProtocolViolation(AbortReason.INVALID_PARAMETER, "a P-DATA-TF without a value")
    start, size = 0, len(body)
    while start < size:
        if size - start < _PDV_HEADER.size:
            raise ProtocolViolation(AbortReason.INVALID_PARAMETER, "a PDV without its header")
        length, context_id, control = _PDV_HEADER.unpack_from(body, start)
        end = start + 4 + length
        if not start + _PDV_HEADER.size <= end <= size:
            raise ProtocolViolation(
                AbortReason.INVALID_PARAMETER, "the length of a PDV contradicts its PDU's"
            )
        fragment = body[start + _PDV_HEADER.size : end]
        yield DataValue(context_id, bool(control & _COMMAND), bool(control & _LAST), fragment)
        start = end


def encode_command(context_id: int, command_set: bytes, maximum_length: int) -> bytes:
    """A command set as one P-DATA-TF after the other.

    maximum_length: of a PDU without its header, as the peer has announced; 0 is any.
    """
    portion = len(command_set)
    if maximum_length:
        # Fragments of even length. Source: DICOM PS3.8 annex F.1.
        portion = min(portion, max(2, (maximum_length - _PDV_HEADER.size) & ~1))
    pdus = []
    for start in range(0, len(command_set), portion):
        fragment = command_set[start : start + portion]
        control = _COMMAND | (_LAST if start + portion >= len(command_set) else 0)
        value = _PDV_HEADER.pack(2 + len(fragment), context_id, control) + fragment
        pdus.append(encode_pdu(PduType.P_DATA_TF, value))
    return b"".join(pdus)


def printable(raw: bytes) -> str:
    """Text of a peer that may go into a log line, whatever it sent; 64 characters at most."""
    shown = "".join(chr(each) if 0x20 <= each < 0x7F else f"\\x{each:02x}" for each in raw[:64])
    return shown.strip()[:64]
