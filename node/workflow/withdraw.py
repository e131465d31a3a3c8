"""A person takes back what was sent of an ECG: wherever it may be, it is declared unusable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

from node.dicom import dimse
from node.dicom.filing import Filing
from node.dicom.part10 import read_part10
from node.dicom.rejection_note import build_rejection_note
from node.dicom.template import Templates
from node.dicom.validation import check_results
from node.domain.delivery import (
    Delivery,
    DeliveryState,
    DestinationKind,
    JobState,
    ResultKind,
    ResultObject,
)
from node.domain.errors import NotPossible
from node.domain.identifiers import derived_control_id, derived_uid
from node.hl7.withdrawal import withdraw_oru
from node.workflow.naming import Source
from node.workflow.ports import Clock, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.process import read_source
from node.workflow.replacement import may_be_there, reference_of

if TYPE_CHECKING:
    from node.store.received import Job

_BUSY: Final = (JobState.RECEIVED, JobState.CONFLICT, JobState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Sends a rejection note to each archive, and to each RIS its message marked as wrong."""

    work: UnitOfWork
    spool: ObjectStore
    templates: Templates
    telemetry: Telemetry
    clock: Clock

    def withdraw(self, job_id: int) -> str:
        """Take back all results of a job, for good; what has not left is not sent any more.

        Says what it did. Raises NotPossible, StorageError, InvalidResult.
        """
        at = self.clock()
        with self.work.begin() as transaction:
            job = transaction.jobs.get(job_id)
            if job is None:
                raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
            if job.state in _BUSY:
                raise NotPossible(f"job {job_id} is {job.state.value}: nothing is to be withdrawn")
            made = transaction.outbox.of_job(job_id)
            sent = [each for each in made if _may_be_seen(each, transaction, at)]
            if not sent:
                raise NotPossible(f"nothing of job {job_id} was sent; cancel it")
            revision = transaction.jobs.withdraw(job_id, at=at)
            for each in made:
                if each.kind is not ResultKind.ECG and each.state is not DeliveryState.STORED:
                    transaction.outbox.cancel(each.delivery_id, at=at)
            source = read_source(self.spool.get(job.content_digest))
            told = list(self._told(source, sent))
            for last, result in told:
                self._owe(transaction, job, last, result, revision, at)
        self.telemetry.event("results withdrawn by a person", job_id=job_id, count=len(sent))
        return f"{len(sent)} results are withdrawn; {len(told)} messages tell their destinations"

    def _told(
        self, source: Source, sent: Sequence[Delivery]
    ) -> Iterator[tuple[Delivery, ResultObject]]:
        """What tells each destination, with the last delivery that it takes back."""
        ordered = sorted(sent, key=lambda each: (each.destination, each.delivery_id))
        for _, group in groupby(ordered, key=lambda each: each.destination):
            there = list(group)
            if there[-1].destination_kind is DestinationKind.HL7:
                yield there[-1], self._message(there[-1])
            else:
                for note in self._notes(source, there):
                    yield there[-1], note

    def _message(self, last: Delivery) -> ResultObject:
        """The last message that a RIS was sent, taken back: it stands for the earlier ones."""
        control_id = derived_control_id("withdrawal", last.identifier, last.destination)
        content = withdraw_oru(self.spool.get(last.content_digest), control_id=control_id)
        return ResultObject(kind=ResultKind.ORU, identifier=control_id, content=content)

    def _notes(self, source: Source, there: Sequence[Delivery]) -> Iterator[ResultObject]:
        """One of each study that an archive has instances in."""
        instances = [(each, reference_of(each, self.spool)) for each in there]
        for study_uid in dict.fromkeys(found.study_instance_uid for _, found in instances):
            chosen = [pair for pair in instances if pair[1].study_instance_uid == study_uid]
            rejected = [found for _, found in chosen]
            first = read_part10(self.spool.get(chosen[0][0].content_digest))
            stated = first.get("SpecificCharacterSet") or ()
            filing = Filing(
                new_study_uid=None if study_uid == source.study.study_instance_uid else study_uid,
                character_set=(stated,) if isinstance(stated, str) else tuple(stated),
            )
            names = (
                "withdrawal",
                source.digest,
                self.templates.version,
                *filing.character_set,
                *(each.sop_instance_uid for each in rejected),
            )
            uid = derived_uid("instance", *names)
            content = build_rejection_note(
                rejected,
                source.dataset,
                sop_instance_uid=uid,
                series_instance_uid=derived_uid("series", *names),
                templates=self.templates,
                filing=filing,
            )
            note = ResultObject(
                kind=ResultKind.REJECTION,
                identifier=uid,
                sop_class_uid=dimse.KEY_OBJECT_SELECTION,
                content=content,
            )
            check_results([note], source.dataset, source.study, filing, sent_before=rejected)
            yield note

    def _owe(
        self,
        transaction: Transaction,
        job: Job,
        last: Delivery,
        result: ResultObject,
        revision: int,
        at: datetime,
    ) -> None:
        delivery_id = transaction.outbox.add(
            job_id=job.job_id,
            kind=result.kind,
            identifier=result.identifier,
            sop_class_uid=result.sop_class_uid,
            destination=last.destination,
            destination_kind=last.destination_kind,
            content_digest=self.spool.put(result.content),
            revision=revision,
            at=at,
        )
        transaction.enqueue_delivery(
            delivery_id, run=1, destination=last.destination, kind=last.destination_kind
        )


def _may_be_seen(delivery: Delivery, transaction: Transaction, at: datetime) -> bool:
    """Whether a destination has a result, may have it, or may be getting it now."""
    if delivery.kind in (ResultKind.ECG, ResultKind.REJECTION):
        return False
    is_tried_now = delivery.state is DeliveryState.PENDING and (delivery.due_at or at) <= at
    return is_tried_now or may_be_there(delivery, transaction)
