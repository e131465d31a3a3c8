"""What the results of a corrected job replace, where they were sent."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.dicom.attribute import text_of
from node.dicom.part10 import read_part10
from node.dicom.reference import DocumentReference
from node.domain.delivery import ARRIVED, Delivery, DeliveryState, ResultKind
from node.domain.errors import Unanswered
from node.workflow.ports import ObjectStore, Transaction

if TYPE_CHECKING:
    from node.store.received import Job

_TAKEN: Final = {state.value for state in (*ARRIVED, DeliveryState.STORED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The results of earlier revisions of a job."""

    deliveries: Sequence[Delivery]
    """Those that may have arrived, the latest revision first."""
    spool: ObjectStore

    def report_of(self, destinations: Collection[str]) -> DocumentReference | None:
        """The last report that one of them was sent; None where they were sent none.

        Raises StorageError, MalformedInstance (the spool has lost it).
        """
        sent = self._sent(ResultKind.REPORT, destinations)
        if sent is None:
            return None
        return reference_of(sent, self.spool)

    def has_message_of(self, destination: str) -> bool:
        """Whether it was sent one."""
        return self._sent(ResultKind.ORU, (destination,)) is not None

    def _sent(self, kind: ResultKind, destinations: Collection[str]) -> Delivery | None:
        return next(
            (
                each
                for each in self.deliveries
                if each.kind is kind and each.destination in destinations
            ),
            None,
        )


def is_replaced(delivery: Delivery, job: Job) -> bool:
    """Whether later results stand for it; of the ECG itself there are none."""
    return delivery.kind is not ResultKind.ECG and delivery.revision < job.revision


def reference_of(delivery: Delivery, spool: ObjectStore) -> DocumentReference:
    """The DICOM object of a delivery, by where it is filed.

    Raises StorageError, MalformedInstance (the spool has lost it).
    """
    made = read_part10(spool.get(delivery.content_digest))
    return DocumentReference(
        study_instance_uid=text_of(made, "StudyInstanceUID"),
        series_instance_uid=text_of(made, "SeriesInstanceUID"),
        sop_class_uid=delivery.sop_class_uid,
        sop_instance_uid=delivery.identifier,
    )


def may_be_there(delivery: Delivery, transaction: Transaction) -> bool:
    """Whether its destination has it, or may have it without having said so."""
    return any(
        tried["state"] in _TAKEN or tried["error_code"] == Unanswered.code
        for tried in transaction.outbox.attempts_of(delivery.delivery_id)
    )


def replaced_by(job: Job, transaction: Transaction, spool: ObjectStore) -> Replaced:
    """What this revision of the job replaces; nothing where it is the first."""
    made = transaction.outbox.of_job(job.job_id)
    earlier = [each for each in made if is_replaced(each, job) and may_be_there(each, transaction)]
    return Replaced(deliveries=sorted(earlier, key=lambda each: -each.revision), spool=spool)
