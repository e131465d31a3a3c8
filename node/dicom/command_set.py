"""Command sets, to and from bytes: Implicit VR Little Endian, group 0000 alone.

Source: DICOM PS3.7 §6.3, §9.3 and annex E.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.dicom.pdu import AbortReason, ProtocolViolation

_ELEMENT: Final = struct.Struct("<HHI")
_SHORT: Final = struct.Struct("<HHIH")
_GROUP_LENGTH: Final = struct.Struct("<HHII")

_AFFECTED_SOP_CLASS_UID: Final = 0x0002
_COMMAND_FIELD: Final = 0x0100
_MESSAGE_ID: Final = 0x0110
_MESSAGE_ID_RESPONDED_TO: Final = 0x0120
_COMMAND_DATA_SET_TYPE: Final = 0x0800
_STATUS: Final = 0x0900
_AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
_EVENT_TYPE_ID: Final = 0x1002

_NO_DATA_SET: Final = 0x0101
_RESPONSE: Final = 0x8000


class CommandField(IntEnum):
    """The requests that have a response. Source: DICOM PS3.7 table E.1-1."""

    C_STORE = 0x0001
    C_GET = 0x0010
    C_FIND = 0x0020
    C_MOVE = 0x0021
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_GET = 0x0110
    N_SET = 0x0120
    N_ACTION = 0x0130
    N_CREATE = 0x0140
    N_DELETE = 0x0150


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a request asks for. UIDs as they were sent, without padding; empty where absent."""

    field: CommandField
    message_id: int
    has_data_set: bool
    affected_sop_class_uid: bytes = b""
    affected_sop_instance_uid: bytes = b""
    event_type: int | None = None
    """Of an N-EVENT-REPORT."""


def decode_command(encoded: bytes) -> Command:
    """A request.

    Raises ProtocolViolation where no response could be given: not a command set, no message ID, no
    request that has a response.
    """
    elements = _elements(encoded)
    try:
        field = CommandField(_number(elements, _COMMAND_FIELD))
    except ValueError as error:
        raise _invalid("a command that has no response") from error
    return Command(
        field=field,
        message_id=_number(elements, _MESSAGE_ID),
        has_data_set=_number(elements, _COMMAND_DATA_SET_TYPE) != _NO_DATA_SET,
        affected_sop_class_uid=_uid(elements, _AFFECTED_SOP_CLASS_UID),
        affected_sop_instance_uid=_uid(elements, _AFFECTED_SOP_INSTANCE_UID),
        event_type=_number(elements, _EVENT_TYPE_ID) if _EVENT_TYPE_ID in elements else None,
    )


def encode_response(
    command: Command, status: int, *, sop_class_uid: str = "", sop_instance_uid: str = ""
) -> bytes:
    """The response to a request, without a data set; empty UIDs are left out."""
    event_type = command.event_type
    elements = b"".join(
        (
            _encoded_uid(_AFFECTED_SOP_CLASS_UID, sop_class_uid),
            _SHORT.pack(0, _COMMAND_FIELD, 2, command.field | _RESPONSE),
            _SHORT.pack(0, _MESSAGE_ID_RESPONDED_TO, 2, command.message_id),
            _SHORT.pack(0, _COMMAND_DATA_SET_TYPE, 2, _NO_DATA_SET),
            _SHORT.pack(0, _STATUS, 2, status),
            _encoded_uid(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid),
            b"" if event_type is None else _SHORT.pack(0, _EVENT_TYPE_ID, 2, event_type),
        )
    )
    return _GROUP_LENGTH.pack(0, 0, 4, len(elements)) + elements


def _elements(encoded: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    start = 0
    while start < len(encoded):
        if len(encoded) - start < _ELEMENT.size:
            raise _invalid("a command set that is cut short")
        group, element, length = _ELEMENT.unpack_from(encoded, start)
        start += _ELEMENT.size
        if group != 0 or length > len(encoded) - start:
            raise _invalid("a command set that is not one")
        elements[element] = encoded[start : start + length]
        start += length
    return elements


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:
        raise _invalid("a command set without what every request has")
    return int.from_bytes(value, "little")


def _uid(elements: dict[int, bytes], element: int) -> bytes:
    return elements.get(element, b"").rstrip(b"\0 ")


def _encoded_uid(element: int, uid: str) -> bytes:
    if not uid:
        return b""
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return _ELEMENT.pack(0, element, len(value)) + value


def _invalid(message: str) -> ProtocolViolation:
    return ProtocolViolation(AbortReason.INVALID_PARAMETER, message)
