"""What a message that came in is answered: HL7's original and its enhanced mode.

Source: HL7 v2.5.1 §2.9.2.2, §2.9.3.2; tables 0008, 0103, 0155, 0357.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.domain.errors import MalformedMessage, StorageError
from node.domain.identifiers import derived_control_id, sha256
from node.hl7.message import (
    AcknowledgementCode,
    ErrorCondition,
    Header,
    build_acknowledgement,
    read_header,
)

_UNKNOWN_TYPE: Final = ErrorCondition.UNSUPPORTED_MESSAGE_TYPE
_LONGEST_CONTROL_ID: Final = 199
"""Source: HL7 v2.7 MSH-10; 20 before that, which many exceed."""


def acknowledge(
    message: bytes,
    keep: Callable[[bytes, Header], ErrorCondition | None],
    *,
    at: datetime,
    accepted_types: frozenset[str] | None = None,
    processing_ids: frozenset[str] | None = None,
    refused: Callable[[Header, ErrorCondition], None] = lambda header, condition: None,
) -> tuple[bytes, ...]:
    """The acknowledgements of one message, positive only after `keep` has made it durable.

    keep: gives what speaks against the content of a message that it has kept all the same.
    accepted_types: e.g. {"ORM^O01"}, and processing_ids, e.g. {"P"}; None takes every one.
    refused: told of each message that is not kept, and why.
    In original mode one: AA, AE or AR. In enhanced mode the accept acknowledgement, CA, CE or CR,
    and after a CA the application's; of each kind none where the sender wants none (MSH-15, -16).
    No readable MSH: AR, error 100, with an empty MSA-2. No MSH-9 or MSH-10: AR or CR, error 101; an
    MSH-10 too long to be echoed, or with control characters: 102. Another type, or an
    acknowledgement: 200, or 201 where only the trigger is unknown. Another processing id: 202.
    Unusable content: AE with what speaks against it. Storage that does not take it: AE or CE, error
    207.
    """
    objection: ErrorCondition | None = ErrorCondition.SEGMENT_SEQUENCE_ERROR
    header = Header()
    with suppress(MalformedMessage):
        header = read_header(message)
        objection = _objection(header, accepted_types, processing_ids)
    reply = _Reply(header=header, message=message, at=at)
    if objection is not None:
        refused(header, objection)
        return reply.refusing(objection)
    try:
        objection = keep(message, header)
    except StorageError:
        return reply.failing(ErrorCondition.APPLICATION_INTERNAL_ERROR)
    return reply.keeping(objection)


def _objection(
    header: Header, accepted_types: frozenset[str] | None, processing_ids: frozenset[str] | None
) -> ErrorCondition | None:
    if not header.control_id or not header.message_type:
        return ErrorCondition.REQUIRED_FIELD_MISSING
    if len(header.control_id) > _LONGEST_CONTROL_ID or not header.control_id.isprintable():
        return ErrorCondition.DATA_TYPE_ERROR
    if header.message_type == "ACK":
        # Answering an answer could go on without end, and it answers nothing sent from here.
        return _UNKNOWN_TYPE
    if accepted_types is not None and header.event not in accepted_types:
        types = {accepted.split("^")[0] for accepted in accepted_types}
        is_known = header.message_type in types
        return ErrorCondition.UNSUPPORTED_EVENT_CODE if is_known else _UNKNOWN_TYPE
    if processing_ids is not None and (header.processing_id or "P") not in processing_ids:
        return ErrorCondition.UNSUPPORTED_PROCESSING_ID
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    """The ways to answer one message."""

    header: Header
    message: bytes
    at: datetime

    @property
    def _has_accept_mode(self) -> bool:
        return self.header.accept_acknowledgement not in {"", "NE"}

    def refusing(self, objection: ErrorCondition) -> tuple[bytes, ...]:
        if self._has_accept_mode:
            return self._accept(AcknowledgementCode.CR, objection)
        return self._application(AcknowledgementCode.AR, objection)

    def failing(self, objection: ErrorCondition) -> tuple[bytes, ...]:
        if self._has_accept_mode:
            return self._accept(AcknowledgementCode.CE, objection)
        return self._application(AcknowledgementCode.AE, objection)

    def keeping(self, objection: ErrorCondition | None) -> tuple[bytes, ...]:
        accepted = self._accept(AcknowledgementCode.CA) if self._has_accept_mode else ()
        code = AcknowledgementCode.AA if objection is None else AcknowledgementCode.AE
        return accepted + self._application(code, objection)

    def _accept(
        self, code: AcknowledgementCode, error: ErrorCondition | None = None
    ) -> tuple[bytes, ...]:
        return self._if_wanted(self.header.accept_acknowledgement, code, error)

    def _application(
        self, code: AcknowledgementCode, error: ErrorCondition | None = None
    ) -> tuple[bytes, ...]:
        """Where both fields are empty, the mode is the original one, which always answers."""
        wanted = self.header.application_acknowledgement
        is_original = not self.header.enhanced
        return self._if_wanted(wanted or ("AL" if is_original else "NE"), code, error)

    def _if_wanted(
        self, condition: str, code: AcknowledgementCode, error: ErrorCondition | None
    ) -> tuple[bytes, ...]:
        if condition in {"NE", "ER" if error is None else "SU"}:
            return ()
        digest = sha256(self.message)
        control_id = derived_control_id("ack", digest, code.value, self.at.isoformat())
        return (
            build_acknowledgement(
                self.header, code, control_id=control_id, at=self.at, error=error
            ),
        )
