"""A person takes back what was sent of an ECG: wherever it may be, it is declared unusable."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from node.dicom.part10 import read_part10
from node.dicom.template import Templates
from node.domain.audit import Action, Actor
from node.domain.delivery import (
    MESSAGES,
    Delivery,
    JobState,
    ResultKind,
    ResultObject,
)
from node.domain.errors import NotPossible
from node.workflow.answer import read_source
from node.workflow.compose import compose_rejection
from node.workflow.intervene import cancel_delivery, wake_commitments
from node.workflow.naming import Source
from node.workflow.ports import Clock, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.replacement import (
    filed_as,
    has_arrived,
    may_be_there,
    reference_of,
    standing_messages,
    take_back,
)

if TYPE_CHECKING:
    from node.store.received import Job

_NOTHING: Final = (JobState.CONFLICT, JobState.WITHDRAWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Sends a rejection note to each archive, to others their message marked as wrong."""

    by: Actor
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
            transaction.jobs.lock(job_id)
            job = transaction.jobs.get(job_id)
            if job is None:
                raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
            if job.state is JobState.RECEIVED:
                raise NotPossible(f"job {job_id} is being processed (received); cancel it first")
            if job.state in _NOTHING:
                raise NotPossible(f"job {job_id} is {job.state.value}: nothing is to be withdrawn")
            made = transaction.outbox.of_job(job_id)
            sent = [each for each in made if _may_be_seen(each, transaction)]
            if not sent:
                raise NotPossible(f"nothing of job {job_id} was sent; cancel it")
            revision = transaction.jobs.withdraw(job_id, at=at)
            for each in made:
                if each.kind is not ResultKind.ECG:
                    cancel_delivery(transaction, each, at)
            wake_commitments(transaction, job_id)
            source = read_source(self.spool.get(job.content_digest))
            certain = {each.delivery_id for each in sent if has_arrived(each, transaction)}
            told = list(self._told(source, sent, certain, revision))
            for last, result in told:
                self._owe(transaction, job, last, result, revision, at)
            said = (
                f"{len(sent)} results are withdrawn; {len(told)} messages tell their destinations"
            )
            transaction.audit.note(self.by, Action.WITHDREW, at=at, job_id=job_id, said=said)
        self.telemetry.event("results withdrawn by a person", job_id=job_id, count=len(sent))
        return said

    def _told(
        self, source: Source, sent: Sequence[Delivery], certain: Collection[int], revision: int
    ) -> Iterator[tuple[Delivery, ResultObject]]:
        """What tells each destination, with a delivery that it takes back.

        certain: ids of those that have arrived. An archive that lacks one of the instances that a
        note names may refuse the whole note, so those that only may be there have their own.
        """
        for last in standing_messages(reversed(sent), self.spool).values():
            yield last, take_back(last, self.spool, revision)
        objects = [each for each in sent if each.kind not in MESSAGES]
        for name in dict.fromkeys(each.destination for each in objects):
            there = [each for each in objects if each.destination == name]
            for is_certain in (True, False):
                chosen = [each for each in there if (each.delivery_id in certain) is is_certain]
                for note in self._notes(source, chosen):
                    yield there[0], note

    def _notes(self, source: Source, there: Sequence[Delivery]) -> Iterator[ResultObject]:
        """One of each study that an archive has instances in."""
        instances = [(each, reference_of(each, self.spool)) for each in there]
        for study_uid in dict.fromkeys(found.study_instance_uid for _, found in instances):
            chosen = [pair for pair in instances if pair[1].study_instance_uid == study_uid]
            rejected = [found for _, found in chosen]
            first = read_part10(self.spool.get(chosen[0][0].content_digest))
            source, filing = filed_as(first, source)
            yield compose_rejection(rejected, source, self.templates, filing)

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


def _may_be_seen(delivery: Delivery, transaction: Transaction) -> bool:
    """Whether a destination has a result, or may have it."""
    is_ours = delivery.kind not in (ResultKind.ECG, ResultKind.REJECTION)
    return is_ours and may_be_there(delivery, transaction)
