"""Storage Commitment Push Model, as its SCU: asks a PACS to commit itself to what it stored.

The report comes on the same association, which is kept open a short while for it, or on a new one
to our listener (node/dicom/commitment_service.py).
Source: DICOM PS3.4 annex J.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Final

from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import EventHandlerType

from node.dicom import dimse
from node.dicom.commitment_report import WELL_KNOWN_INSTANCE
from node.dicom.commitment_service import CommitmentService
from node.dicom.scu import StorageScu
from node.domain.errors import DeliveryError, Refused, TemporarilyRefused, Unanswered
from node.domain.instance import Origin

REQUEST: Final = 1
"""Action type. Source: DICOM PS3.4 table J.3-1."""
_DUPLICATE_TRANSACTION: Final = 0x0131


class CommitmentScu:
    """Asks one peer, over associations of its `StorageScu`."""

    def __init__(
        self, scu: StorageScu, service: CommitmentService, *, linger_s: float = 1.0
    ) -> None:
        """service: takes a report. linger_s: how long the association is kept open for one."""
        self._scu = scu
        self._service = service
        self._linger_s = linger_s

    @contextmanager
    def asked(self, transaction_uid: str, instances: Sequence[tuple[str, str]]) -> Iterator[None]:
        """Ask for commitment; the block runs when the peer has taken the request.

        instances: (SOP class UID, SOP Instance UID).
        Raises Unreachable, TemporarilyRefused, Refused, Unanswered: the peer may have taken it.
        """
        reported = Event()

        def on_report(event: evt.Event) -> tuple[int, None]:
            answered = self._on_report(event)
            reported.set()
            return answered, None

        handlers: list[EventHandlerType] = [(evt.EVT_N_EVENT_REPORT, on_report)]
        association = _associate(self._scu, handlers)
        try:
            answer, _ = association.send_n_action(
                _action_information(transaction_uid, instances),
                REQUEST,
                dimse.STORAGE_COMMITMENT,
                WELL_KNOWN_INSTANCE,
            )
            if "Status" not in answer:
                raise Unanswered("the peer ended the association without answering the N-ACTION")
            error_of_answer = _error_of(int(answer.Status))
            if error_of_answer is not None:
                raise error_of_answer
            yield
            until_s = time.monotonic() + self._linger_s
            while association.is_established and time.monotonic() < until_s:
                if reported.wait(0.05):
                    break
        finally:
            if association.is_established:
                association.release()

    def _on_report(self, event: evt.Event) -> int:
        information = getattr(event.request, "EventInformation", None)
        origin = Origin(
            calling_ae=self._scu.called_ae, called_ae=self._scu.calling_ae, peer=self._scu.host
        )
        return self._service.take(
            information.getvalue() if information else b"",
            str(event.context.transfer_syntax),
            event.event_type,
            origin,
        )


def offers_commitment(scu: StorageScu) -> None:
    """Pass when the peer takes an association for Storage Commitment; it is asked for nothing.

    Raises Unreachable, TemporarilyRefused, Refused.
    """
    _associate(scu).release()


def _associate(scu: StorageScu, handlers: Sequence[EventHandlerType] = ()) -> Association:
    try:
        return scu.associate(
            dimse.STORAGE_COMMITMENT, *dimse.RECEIVED_TRANSFER_SYNTAXES[:2], handlers=handlers
        )
    except Refused as error:
        raise Refused(
            f"{scu.where} does not offer Storage Commitment; enable it there for our AE title, or "
            "set commitment = false for this destination"
        ) from error


def _action_information(transaction_uid: str, instances: Sequence[tuple[str, str]]) -> Dataset:
    """Source: DICOM PS3.4 table J.3-1."""
    information = Dataset()
    information.TransactionUID = transaction_uid
    information.ReferencedSOPSequence = []
    for sop_class_uid, sop_instance_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class_uid
        item.ReferencedSOPInstanceUID = sop_instance_uid
        information.ReferencedSOPSequence.append(item)
    return information


def _error_of(status: int) -> DeliveryError | None:
    """What the status of an N-ACTION means; None when the peer has the request.

    It also has it where it knows the transaction UID: ours are never used twice, but the request
    is made again when its answer got lost.
    Source: DICOM PS3.7 §10.1.4.1.10 and annex C.
    """
    if status in (dimse.SUCCESS, _DUPLICATE_TRANSACTION):
        return None
    code = f"0x{status:04X}"
    if status in (0x0110, 0x0213) or 0xA700 <= status <= 0xA7FF:
        return TemporarilyRefused(f"the peer could not take the request for commitment ({code})")
    if status == 0x0124:
        return Refused(f"the peer does not authorise this AE to ask for commitment ({code})")
    return Refused(f"the peer refused the request for commitment ({code}); see the peer's log")
