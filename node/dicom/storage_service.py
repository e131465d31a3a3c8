"""Storage of ECGs, as its SCP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from node.dicom import dimse
from node.dicom.command_set import CommandField
from node.dicom.message import Request
from node.dicom.pdu import printable
from node.dicom.service import Report, is_uid
from node.domain.errors import (
    CardioNodeError,
    InputError,
    MalformedInstance,
    OversizedInstance,
    UnsupportedInstance,
)
from node.domain.instance import Origin

_INVALID_SOP_INSTANCE: Final = 0x0117
_SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""Source: DICOM PS3.7 §9.1.1.1.9 and annex C."""
ANSWERS: Final[Mapping[int, str]] = {
    dimse.SUCCESS: "the instance and the work it causes are on disk: fsync, then commit",
    dimse.OUT_OF_RESOURCES: (
        "the disk is nearly full (storage.minimum_free_mb), spool or database did not take the "
        "bytes, or the data set is larger than dicom.maximum_instance_mb; nothing was kept"
    ),
    dimse.CANNOT_UNDERSTAND: (
        "no data set, one that is cut short or cannot be parsed, or one that is not the instance "
        "announced; nothing was kept"
    ),
    dimse.PROCESSING_FAILURE: "a fault of the node, which its log shows; nothing was kept",
    _INVALID_SOP_INSTANCE: "the SOP Instance UID is missing or is no UID; nothing was kept",
    _SOP_CLASS_NOT_SUPPORTED: (
        "the SOP class is not that of the presentation context; nothing was kept"
    ),
}
"""Every status a C-STORE is answered with, and when."""


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
    """Answers a C-STORE with success only after `accept` returned."""

    operation = CommandField.C_STORE

    def __init__(self, *, accept: Accept, report: Report) -> None:
        self._accept = accept
        self._report = report

    def answer(self, request: Request, origin: Origin) -> int:
        objection = _objection(request)
        if objection is not None:
            status, error = objection
            self._report_refusal(request, origin, status, error)
            return status
        try:
            self._accept(
                request.dataset_bytes,
                sop_class_uid=request.context.abstract_syntax,
                sop_instance_uid=request.command.affected_sop_instance_uid.decode("ascii"),
                transfer_syntax_uid=request.context.transfer_syntaxes[0],
                origin=origin,
            )
        except Exception as failure:  # the request's boundary: nothing may pass as success
            status = dimse.status_of(failure)
            self._report_refusal(request, origin, status, failure)
            return status
        return dimse.SUCCESS

    def _report_refusal(
        self, request: Request, origin: Origin, status: int, error: Exception
    ) -> None:
        known = error if isinstance(error, CardioNodeError) else None
        self._report(
            "instance refused",
            error=None if known else error,
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
            sop_class_uid=printable(request.command.affected_sop_class_uid),
            error_code=known.code if known else "internal",
            reason=known.message if known else None,
            status=f"0x{status:04X}",
        )


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
    if not is_uid(command.affected_sop_instance_uid):
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
