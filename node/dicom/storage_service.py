"""What the node answers to the requests of an association: Verification, and Storage of ECGs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol

from node.dicom import dimse
from node.dicom.command_set import CommandField, encode_response
from node.dicom.message import Request
from node.dicom.pdu import printable
from node.domain.caller import Permission
from node.domain.errors import (
    CardioNodeError,
    InputError,
    MalformedInstance,
    OversizedInstance,
    UnsupportedInstance,
)
from node.domain.instance import Origin

Report = Callable[..., None]
"""Gets (message, **fields) for each thing worth a log line; never patient data."""

_UNRECOGNIZED_OPERATION: Final = 0x0211
_INVALID_SOP_INSTANCE: Final = 0x0117
_SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""Source: DICOM PS3.7 §9.1.1.1.9 and annex C."""

_UID: Final = re.compile(rb"[0-9](?:[0-9.]{0,62}[0-9])?")
"""Leading zeros and empty components pass: real devices send them, and nothing depends on it."""


class Accept(Protocol):
    """Keeps one instance; returns when it is durable, raises CardioNodeError when it is not."""

    def __call__(
        self,
        dataset_bytes: bytes,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        origin: Origin,
    ) -> None: ...


class StorageService:
    """Answers requests of one association, a C-STORE with success only after `accept` returned."""

    def __init__(
        self, *, origin: Origin, may: frozenset[Permission], accept: Accept, report: Report
    ) -> None:
        self._origin = origin
        self._may = may
        self._accept = accept
        self._report = report

    def answer(self, request: Request) -> bytes:
        """The response's command set."""
        command = request.command
        if command.field is CommandField.C_ECHO:  # on a context of whatever SOP class
            status = dimse.SUCCESS if Permission.ECHO in self._may else dimse.NOT_AUTHORISED
        elif (
            command.field is CommandField.C_STORE
            and request.context.abstract_syntax in dimse.ECG_STORAGE
        ):
            status = self._store(request)
        else:
            status = _UNRECOGNIZED_OPERATION
        return encode_response(
            command,
            status,
            sop_class_uid=_repeatable(command.affected_sop_class_uid),
            sop_instance_uid=_repeatable(command.affected_sop_instance_uid),
        )

    def _store(self, request: Request) -> int:
        objection = _objection(request)
        if objection is not None:
            status, error = objection
            self._report_refusal(request, status, error)
            return status
        try:
            self._accept(
                request.dataset_bytes,
                sop_class_uid=request.context.abstract_syntax,
                sop_instance_uid=request.command.affected_sop_instance_uid.decode("ascii"),
                transfer_syntax_uid=request.context.transfer_syntaxes[0],
                origin=self._origin,
            )
        except Exception as failure:  # the request's boundary: nothing may pass as success
            status = dimse.status_of(failure)
            self._report_refusal(request, status, failure)
            return status
        return dimse.SUCCESS

    def _report_refusal(self, request: Request, status: int, error: Exception) -> None:
        known = error if isinstance(error, CardioNodeError) else None
        self._report(
            "instance refused",
            error=None if known else error,
            calling_ae=self._origin.calling_ae,
            called_ae=self._origin.called_ae,
            peer=self._origin.peer,
            sop_class_uid=printable(request.command.affected_sop_class_uid),
            error_code=known.code if known else "internal",
            reason=known.message if known else None,
            status=f"0x{status:04X}",
        )


def _repeatable(uid: bytes) -> str:
    """A UID for the response, which repeats the request's; empty when it is none."""
    return uid.decode("ascii") if _UID.fullmatch(uid) else ""


def _objection(request: Request) -> tuple[int, InputError] | None:
    """What is wrong with a C-STORE request before its data set is looked at.

    One that is too large is "out of resources": the association goes on with what fits, where an
    abort would have the sender begin with the same instance again and again.
    """
    command = request.command
    if command.affected_sop_class_uid != request.context.abstract_syntax.encode("ascii"):
        return _SOP_CLASS_NOT_SUPPORTED, UnsupportedInstance(
            "the SOP class is not that of the presentation context; check the sender"
        )
    if not _UID.fullmatch(command.affected_sop_instance_uid):
        return _INVALID_SOP_INSTANCE, MalformedInstance(
            "the SOP Instance UID is missing or is no UID; check the sender"
        )
    if request.is_oversized:
        return dimse.OUT_OF_RESOURCES, OversizedInstance(
            "the data set is larger than dicom.maximum_instance_mb; raise it, or send less"
        )
    if not request.dataset_bytes:
        return dimse.CANNOT_UNDERSTAND, MalformedInstance(
            "the C-STORE request has no data set; check the sender"
        )
    return None
