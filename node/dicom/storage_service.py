"""Storage of ECGs, as its SCP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from node.dicom import dimse
from node.dicom.command_set import CommandField
from node.dicom.message import Request
from node.dicom.service import Report, is_uid, report_refusal
from node.domain.errors import (
    InputError,
    MalformedInstance,
    OversizedInstance,
    UnsupportedInstance,
)
from node.domain.instance import Origin

INVALID_SOP_INSTANCE: Final = 0x0117
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
"""Source: DICOM PS3.7 §9.1.1.1.9 and annex C."""
ANSWERS: Final[Mapping[int, str]] = {
    dimse.SUCCESS: "the instance and the work it causes are on disk: fsync, then commit",
    dimse.OUT_OF_RESOURCES: (
        "the disk is nearly full (storage.minimum_free_mb), the store of objects or the database "
        "did not take the bytes, or the data set is larger than dicom.maximum_instance_mb; nothing "
        "was kept"
    ),
    dimse.CANNOT_UNDERSTAND: (
        "no data set, one that is cut short or cannot be parsed, or one that is not the instance "
        "announced; nothing was kept"
    ),
    dimse.PROCESSING_FAILURE: "a fault of the node, which its log shows; nothing was kept",
    INVALID_SOP_INSTANCE: "the SOP Instance UID is missing or is no UID; nothing was kept",
    SOP_CLASS_NOT_SUPPORTED: (
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
            return self._refuse(request, origin, *objection)
        try:
            self._accept(
                request.dataset_bytes,
                sop_class_uid=request.context.abstract_syntax,
                sop_instance_uid=request.command.affected_sop_instance_uid.decode("ascii"),
                transfer_syntax_uid=request.context.transfer_syntaxes[0],
                origin=origin,
            )
        except Exception as failure:  # the request's boundary: nothing may pass as success
            return self._refuse(request, origin, dimse.status_of(failure), failure)
        return dimse.SUCCESS

    def _refuse(self, request: Request, origin: Origin, status: int, error: Exception) -> int:
        report_refusal(
            self._report,
            "instance refused",
            origin=origin,
            status=status,
            error=error,
            sop_class_uid=request.command.affected_sop_class_uid,
        )
        return status


def _objection(request: Request) -> tuple[int, InputError] | None:
    """What is wrong with a C-STORE request before its data set is looked at.

    One that is too large is "out of resources": the association goes on with what fits, where an
    abort would have the sender begin with the same instance again and again.
    """
    command = request.command
    if command.affected_sop_class_uid != request.context.abstract_syntax.encode("ascii"):
        return SOP_CLASS_NOT_SUPPORTED, UnsupportedInstance(
            "the SOP class is not that of the presentation context; check the sender"
        )
    if not is_uid(command.affected_sop_instance_uid):
        return INVALID_SOP_INSTANCE, MalformedInstance(
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
