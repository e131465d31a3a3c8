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
from pynetdicom.pdu import P_DATA_TF

from node.dicom import dimse
from node.dicom.commitment_report import WELL_KNOWN_INSTANCE
from node.dicom.commitment_service import CommitmentService
from node.dicom.response_status import ResponseStatus, error_of, single
from node.dicom.scu import PROPOSED, StorageScu
from node.domain.errors import Refused, TemporarilyRefused, Unanswered
from node.domain.instance import Origin

REQUEST: Final = 1
"""Action type. Source: DICOM PS3.4 table J.3-1."""
RESPONSES: Final = (
    single(dimse.SUCCESS, "Success"),
    single(0x0131, "Duplicate transaction UID"),
    single(
        0x0110,
        "Processing failure",
        TemporarilyRefused,
        "the peer could not take the request for commitment ({code})",
    ),
    single(
        0x0213,
        "Resource limitation",
        TemporarilyRefused,
        "the peer could not take the request for commitment ({code})",
    ),
    ResponseStatus(
        first=0xA700,
        last=0xA7FF,
        meaning="Refused: Out of resources",
        error=TemporarilyRefused,
        message="the peer could not take the request for commitment ({code})",
    ),
    single(
        0x0124,
        "Not authorized",
        Refused,
        "the peer does not authorise this AE to ask for commitment ({code})",
    ),
    ResponseStatus(
        first=0x0000,
        last=0xFFFF,
        meaning="Any other",
        error=Refused,
        message="the peer refused the request for commitment ({code}); see the peer's log",
    ),
)
"""What the status of an N-ACTION means.

The peer has the request where it knows the transaction UID: ours are never used twice, but the
request is made again when its answer got lost.
Source: DICOM PS3.7 §10.1.4.1.10 and annex C.
"""


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
        taken, answered = Event(), Event()

        def on_report(event: evt.Event) -> tuple[int, None]:
            status = self._on_report(event)
            taken.set()
            return status, None

        def on_sent(event: evt.Event) -> None:
            if taken.is_set() and isinstance(event.pdu, P_DATA_TF):  # what follows a report
                answered.set()

        handlers: list[EventHandlerType] = [
            (evt.EVT_N_EVENT_REPORT, on_report),
            (evt.EVT_PDU_SENT, on_sent),
        ]
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
            error = error_of(int(answer.Status), RESPONSES)
            if error is not None:
                raise error
            yield
            until_s = time.monotonic() + self._linger_s
            while association.is_established and time.monotonic() < until_s:
                if answered.wait(0.05):
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
            dimse.STORAGE_COMMITMENT, *PROPOSED[dimse.STORAGE_COMMITMENT], handlers=handlers
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
