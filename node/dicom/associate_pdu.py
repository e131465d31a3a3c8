"""The request for an association, from bytes, and its acceptance, to bytes.

Source: DICOM PS3.8 §9.3.2 and §9.3.3, PS3.7 annex D.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from node.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.dicom.pdu import AbortReason, PduType, ProtocolViolation, encode_pdu, printable

APPLICATION_CONTEXT_NAME: Final = "1.2.840.10008.3.1.1.1"
_FIXED_BYTES: Final = 68
"""Protocol version, both AE titles and what is reserved, before the first item."""
_SMALLEST_MAXIMUM: Final = 8
"""A PDV header and two bytes: less carries no answer."""

_APPLICATION_CONTEXT: Final = 0x10
_PROPOSED_CONTEXT: Final = 0x20
_RESULT_CONTEXT: Final = 0x21
_ABSTRACT_SYNTAX: Final = 0x30
_TRANSFER_SYNTAX: Final = 0x40
_USER_INFORMATION: Final = 0x50
_MAXIMUM_LENGTH: Final = 0x51
_IMPLEMENTATION_CLASS_UID: Final = 0x52
_ROLE_SELECTION: Final = 0x54
_IMPLEMENTATION_VERSION_NAME: Final = 0x55


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which roles the requestor of the association takes."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """Items that are not known, and those not answered, are left out.

    Not answered: user identity (PS3.7 D.3.3.7: an acceptor that verifies none returns none, even
    where a response is asked for), asynchronous operations (D.3.3.3: so one at a time), extended
    negotiation (D.3.3.5 and D.3.3.6: so none).
    """

    protocol_version: int
    called_ae: bytes
    calling_ae: bytes
    application_context_name: str
    contexts: tuple[ProposedContext, ...]
    roles: Mapping[str, Roles]
    """Proposed roles by SOP class UID."""
    maximum_length: int
    """Of a PDU that the requestor receives; 0 is any."""
    repeated: bytes
    """AE titles and reserved bytes, which the acceptance repeats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultContext:
    """result 0 is acceptance. Source: DICOM PS3.8 table 9-18."""

    context_id: int
    result: int
    transfer_syntax: str


def decode_request(body: memoryview) -> AssociateRequest:
    """An A-ASSOCIATE-RQ without its header.

    Raises ProtocolViolation (cut short, no presentation context, IDs that are even or given twice,
    a maximum length that carries no answer).
    """
    if len(body) < _FIXED_BYTES:
        raise _invalid("a request for an association that is cut short")
    fixed = bytes(body[:_FIXED_BYTES])
    application_context_name = ""
    contexts: dict[int, ProposedContext] = {}
    roles: dict[str, Roles] = {}
    maximum_length = 0
    for kind, item in _items(body[_FIXED_BYTES:]):
        if kind == _APPLICATION_CONTEXT:
            application_context_name = _uid(item)
        elif kind == _PROPOSED_CONTEXT:
            context = _proposed(item)
            if context.context_id % 2 == 0 or context.context_id in contexts:
                raise _invalid("a presentation context ID that is even or given twice")
            contexts[context.context_id] = context
        elif kind == _USER_INFORMATION:
            for part, value in _items(item):
                if part == _MAXIMUM_LENGTH:
                    maximum_length = _maximum_length(value)
                elif part == _ROLE_SELECTION:
                    sop_class_uid, proposed = _role_selection(value)
                    roles[sop_class_uid] = proposed
    if not contexts:
        raise _invalid("a request for an association without a presentation context")
    return AssociateRequest(
        protocol_version=int.from_bytes(fixed[0:2], "big"),
        called_ae=fixed[4:20],
        calling_ae=fixed[20:36],
        application_context_name=application_context_name,
        contexts=tuple(contexts.values()),
        roles=roles,
        maximum_length=maximum_length,
        repeated=fixed[4:],
    )


def encode_accept(
    request: AssociateRequest,
    contexts: Sequence[ResultContext],
    roles: Mapping[str, Roles],
    maximum_length: int,
) -> bytes:
    """An A-ASSOCIATE-AC."""
    user_information = [
        _item(_MAXIMUM_LENGTH, struct.pack(">I", maximum_length)),
        _item(_IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_CLASS_UID.encode("ascii")),
        *(
            _item(
                _ROLE_SELECTION,
                struct.pack(">H", len(uid)) + uid.encode("ascii") + bytes((role.scu, role.scp)),
            )
            for uid, role in roles.items()
        ),
        _item(_IMPLEMENTATION_VERSION_NAME, IMPLEMENTATION_VERSION_NAME.encode("ascii")),
    ]
    items = [
        _item(_APPLICATION_CONTEXT, APPLICATION_CONTEXT_NAME.encode("ascii")),
        *(
            _item(
                _RESULT_CONTEXT,
                bytes((context.context_id, 0, context.result, 0))
                + _item(_TRANSFER_SYNTAX, context.transfer_syntax.encode("ascii")),
            )
            for context in contexts
        ),
        _item(_USER_INFORMATION, b"".join(user_information)),
    ]
    fixed = struct.pack(">HH", 1, 0) + request.repeated
    return encode_pdu(PduType.A_ASSOCIATE_AC, fixed + b"".join(items))


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _items(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    while body:
        if len(body) < 4:
            raise _invalid("an item without its header")
        kind, length = struct.unpack_from(">BxH", body)
        if len(body) < 4 + length:
            raise _invalid("an item that is longer than what holds it")
        yield kind, body[4 : 4 + length]
        body = body[4 + length :]


def _proposed(item: memoryview) -> ProposedContext:
    if len(item) < 4:
        raise _invalid("a presentation context that is cut short")
    abstract_syntax = ""
    transfer_syntaxes = []
    for kind, value in _items(item[4:]):
        if kind == _ABSTRACT_SYNTAX:
            abstract_syntax = _uid(value)
        elif kind == _TRANSFER_SYNTAX:
            transfer_syntaxes.append(_uid(value))
    return ProposedContext(
        context_id=item[0],
        abstract_syntax=abstract_syntax,
        transfer_syntaxes=tuple(transfer_syntaxes),
    )


def _maximum_length(value: memoryview) -> int:
    length = int.from_bytes(value, "big")
    if len(value) != 4 or 0 < length < _SMALLEST_MAXIMUM:
        raise _invalid("a maximum length that no answer fits into")
    return length


def _role_selection(value: memoryview) -> tuple[str, Roles]:
    """Source: DICOM PS3.7 D.3.3.4."""
    length = int.from_bytes(value[:2], "big")
    if len(value) != 2 + length + 2:
        raise _invalid("a role selection that is cut short")
    return _uid(value[2 : 2 + length]), Roles(scu=value[-2] == 1, scp=value[-1] == 1)


def _uid(value: memoryview) -> str:
    return printable(bytes(value[:65]).rstrip(b"\0 "))


def _invalid(message: str) -> ProtocolViolation:
    return ProtocolViolation(AbortReason.INVALID_PARAMETER, message)
