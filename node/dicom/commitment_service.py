"""Storage Commitment, as its SCU: takes the reports that come on associations of the SCP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.dicom import dimse
from node.dicom.command_set import CommandField
from node.dicom.commitment_report import (
    EVENT_TYPES,
    WELL_KNOWN_INSTANCE,
    TakeReport,
    read_report,
)
from node.dicom.message import Request
from node.dicom.service import Report, report_refusal
from node.domain.errors import InputError, StorageError
from node.domain.instance import Origin

_PROCESSING_FAILURE: Final = 0x0110
_NO_SUCH_INSTANCE: Final = 0x0112
_NO_SUCH_EVENT: Final = 0x0113
_INVALID_ARGUMENT: Final = 0x0115
_NO_SUCH_CLASS: Final = 0x0118
_RESOURCE_LIMITATION: Final = 0x0213
"""Source: DICOM PS3.7 §10.1.1.1.8 and annex C."""
ANSWERS: Final[Mapping[int, str]] = {
    dimse.SUCCESS: "the outcome of every instance is on disk",
    _PROCESSING_FAILURE: "a fault of the node, which its log shows",
    _NO_SUCH_INSTANCE: "the SOP instance is not the well-known one of the Push Model",
    _NO_SUCH_EVENT: "the event type is neither 1 nor 2",
    _INVALID_ARGUMENT: (
        "the event information is missing, cannot be read, or names a transaction nobody asked for"
    ),
    _NO_SUCH_CLASS: "the SOP class is not that of the Push Model",
    _RESOURCE_LIMITATION: "the database did not take it, or the report is too large; send it again",
}
"""Every status an N-EVENT-REPORT is answered with, and when."""


class CommitmentService:
    """Answers an N-EVENT-REPORT with success only after `take` has made its outcome durable."""

    operation = CommandField.N_EVENT_REPORT

    def __init__(self, *, take: TakeReport, report: Report) -> None:
        self._take = take
        self._report = report

    def answer(self, request: Request, origin: Origin) -> int:
        status = _objection(request)
        if status is not None:
            return self._refuse(origin, status, None)
        return self.take(
            request.dataset_bytes,
            request.context.transfer_syntaxes[0],
            request.command.event_type,
            origin,
        )

    def take(
        self, encoded: bytes, transfer_syntax_uid: str, event_type: int | None, origin: Origin
    ) -> int:
        """The status for the event information of a report, on whichever association it came."""
        if event_type not in EVENT_TYPES:
            return self._refuse(origin, _NO_SUCH_EVENT, None)
        try:
            self._take(read_report(encoded, transfer_syntax_uid), origin)
        except Exception as failure:  # the request's boundary: nothing may pass as success
            return self._refuse(origin, _status_of(failure), failure)
        return dimse.SUCCESS

    def _refuse(self, origin: Origin, status: int, error: Exception | None) -> int:
        report_refusal(
            self._report, "commitment report refused", origin=origin, status=status, error=error
        )
        return status


def _objection(request: Request) -> int | None:
    """What is wrong with a report before its data set is looked at."""
    command = request.command
    if command.affected_sop_class_uid != dimse.STORAGE_COMMITMENT.encode("ascii"):
        return _NO_SUCH_CLASS
    if command.affected_sop_instance_uid != WELL_KNOWN_INSTANCE.encode("ascii"):
        return _NO_SUCH_INSTANCE
    if request.is_oversized:
        return _RESOURCE_LIMITATION
    return None


def _status_of(error: Exception) -> int:
    if isinstance(error, InputError):
        return _INVALID_ARGUMENT
    if isinstance(error, StorageError):
        return _RESOURCE_LIMITATION
    return _PROCESSING_FAILURE
