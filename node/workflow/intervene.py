"""What a person does to a job: set it going again, stop it, or have its results sent once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from node.domain.audit import Action, Actor
from node.domain.commitment import CommitmentState
from node.domain.delivery import (
    ARRIVED,
    Delivery,
    DeliveryState,
    JobState,
    Priority,
    ResultKind,
)
from node.domain.errors import NotPossible
from node.workflow.ports import Clock, Telemetry, Transaction, UnitOfWork
from node.workflow.replacement import standing
from node.workflow.waiting import release_waiting

if TYPE_CHECKING:
    from node.store.received import Job


_STOPPED = (JobState.FAILED, JobState.CANCELLED)
_NOT_WAITED_FOR = (ResultKind.ECG, ResultKind.REJECTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervention:
    """Changes rows and the work they cause together; works beside a running node."""

    by: Actor
    """Who does it, as is noted with what it does."""
    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    after: Mapping[str, str]
    """Destinations whose deliveries wait, each with the one whose commitment they wait for."""

    def retry(self, job_id: int) -> str:
        """Set going again what stopped, now, and make what could not be made.

        What has arrived stays. What is stored and not committed is sent again, and its commitment
        asked for again. What waits for that goes on waiting, also what was cancelled while it
        waited.
        Says what it did. Raises NotPossible.
        """
        with self.work.begin() as transaction:
            job = self._job(transaction, job_id)
            if job.conflicts_with is not None:
                raise NotPossible(f"job {job_id} contradicts an earlier instance; cancel it")
            did = []
            again = transaction.jobs.start_again
            run = (again if job.state in _STOPPED else transaction.jobs.make_again)(job_id)
            if run is not None:
                transaction.enqueue_job(job_id, run=run, priority=job.priority)
                did.append("the job is processed again")
            stopped = [
                delivery
                for delivery in standing(transaction.outbox.of_job(job_id), job)
                if delivery.state not in (*ARRIVED, DeliveryState.WAITING)
            ]
            for delivery in stopped:
                self._deliver_now(transaction, delivery)
            release_waiting(transaction, job_id, after=self.after, at=self.clock())
            wake_commitments(transaction, job_id)
            if job.state is JobState.HELD and not stopped:
                raise NotPossible(f"job {job_id} is held; release or reject it")
            if stopped or not did:
                did.append(f"{len(stopped)} deliveries are tried now")
            said = self._note(transaction, Action.RETRIED, job_id, ", ".join(did))
        self.telemetry.event("job retried by a person", job_id=job_id)
        return said

    def send_again(self, job_id: int, to: str | None = None) -> str:
        """Send what has arrived once more, byte for byte: its destination has lost it.

        to: a destination; None is to all that have something. Results that others have replaced
        are not sent. One that is committed is asked for its commitment again, and what waited for
        that when it was first sent waits again.
        Says what it did. Raises NotPossible.
        """
        with self.work.begin() as transaction:
            transaction.jobs.lock(job_id)
            job = self._job(transaction, job_id)
            there = [
                delivery
                for delivery in standing(transaction.outbox.of_job(job_id), job)
                if delivery.state in ARRIVED and to in (None, delivery.destination)
            ]
            if not there:
                raise NotPossible(
                    f"nothing of job {job_id} has arrived{f' at {to}' if to else ''}; what stopped "
                    "goes on with `cardionode jobs retry`"
                )
            waited_for = _waited_for(job, there)
            for delivery in there:
                if self.after.get(delivery.destination) in waited_for:
                    transaction.outbox.wait_again(delivery)
                else:
                    self._deliver_now(transaction, delivery, priority=Priority.LOW)
            names = ", ".join(sorted({each.destination for each in there}))
            sent = f"{len(there)} results are sent to {names} again"
            said = self._note(transaction, Action.SENT_AGAIN, job_id, sent)
        self.telemetry.event("results sent again by a person", job_id=job_id)
        return said

    def release(self, job_id: int) -> str:
        """Have a held job processed as its ECG states it. Says so. Raises NotPossible."""
        with self.work.begin() as transaction:
            job = self._held(transaction, job_id)
            run = transaction.jobs.release(job_id)
            if run is not None:
                transaction.enqueue_job(job_id, run=run, priority=job.priority)
            said = self._note(transaction, Action.RELEASED, job_id, "the job is processed")
        self.telemetry.event("job released by a person", job_id=job_id)
        return said

    def reject(self, job_id: int) -> str:
        """Stop a held job, and keep why it was held. Says so. Raises NotPossible."""
        with self.work.begin() as transaction:
            job = self._held(transaction, job_id)
            transaction.jobs.settle(
                job_id,
                JobState.CANCELLED,
                at=self.clock(),
                error_code=job.error_code,
                error_message=f"rejected by a person; {job.error_message}",
            )
            rejected = "the job is rejected: no result is made"
            said = self._note(transaction, Action.REJECTED, job_id, rejected)
        self.telemetry.event("job rejected by a person", job_id=job_id)
        return said

    def correct(self, job_id: int) -> str:
        """Have an answered ECG processed again, in results that replace the earlier ones.

        What of those has not arrived is not sent any more, and no commitment to them is waited for.
        Says what it did. Raises NotPossible.
        """
        at = self.clock()
        with self.work.begin() as transaction:
            job = self._job(transaction, job_id)
            if not correct_job(transaction, job, at):
                raise NotPossible(f"job {job_id} has no results to correct: {job.state.value}")
            corrected = "the ECG is processed again; its results replace the earlier ones"
            said = self._note(transaction, Action.CORRECTED, job_id, corrected)
        self.telemetry.event("job corrected by a person", job_id=job_id)
        return said

    def _note(self, transaction: Transaction, action: Action, job_id: int, said: str) -> str:
        """What was said."""
        transaction.audit.note(self.by, action, at=self.clock(), job_id=job_id, said=said)
        return said

    def _job(self, transaction: Transaction, job_id: int) -> Job:
        job = transaction.jobs.get(job_id)
        if job is None:
            raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
        return job

    def _held(self, transaction: Transaction, job_id: int) -> Job:
        job = self._job(transaction, job_id)
        if job.state is not JobState.HELD:
            raise NotPossible(f"job {job_id} is not held, but {job.state.value}")
        return job

    def cancel(self, job_id: int) -> str:
        """Stop the job and what is still owed for it. Says what it did. Raises NotPossible."""
        at = self.clock()
        with self.work.begin() as transaction:
            self._job(transaction, job_id)
            stopped = transaction.jobs.settle(job_id, JobState.CANCELLED, at=at)
            cancelled = 0
            for delivery in transaction.outbox.of_job(job_id):
                cancelled += cancel_delivery(transaction, delivery, at)
            wake_commitments(transaction, job_id)
            if not stopped and not cancelled:
                raise NotPossible(f"nothing of job {job_id} is open any more")
            did = f"{cancelled} deliveries cancelled" if cancelled else "the job is cancelled"
            said = self._note(transaction, Action.CANCELLED, job_id, did)
        self.telemetry.event("job cancelled by a person", job_id=job_id)
        return said

    def _deliver_now(
        self, transaction: Transaction, delivery: Delivery, *, priority: Priority | None = None
    ) -> None:
        """priority: not its job's: new results do not wait for what was there before."""
        if delivery.state is DeliveryState.PENDING:
            transaction.wake_delivery(delivery.delivery_id)
            return
        if delivery.state is DeliveryState.CANCELLED and delivery.destination in self.after:
            transaction.outbox.wait_again(delivery)
            return
        run = transaction.outbox.start_again(delivery, at=self.clock())
        if run is not None:
            transaction.enqueue_delivery(
                delivery.delivery_id,
                run=run,
                destination=delivery.destination,
                kind=delivery.destination_kind,
                priority=priority,
            )


def _waited_for(job: Job, sent: Iterable[Delivery]) -> set[str]:
    """Destinations whose commitment to what is sent others wait for; what takes back waits not."""
    if job.state is JobState.WITHDRAWN:
        return set()
    return {each.destination for each in sent if each.kind not in _NOT_WAITED_FOR}


def correct_job(transaction: Transaction, job: Job, at: datetime) -> bool:
    """Have results made anew that replace a job's; False where it has none."""
    run = transaction.jobs.revise(job.job_id)
    if run is None:
        return False
    for delivery in transaction.outbox.of_job(job.job_id):
        if delivery.kind is not ResultKind.ECG:
            cancel_delivery(transaction, delivery, at)
    wake_commitments(transaction, job.job_id)
    transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
    return True


def cancel_delivery(transaction: Transaction, delivery: Delivery, at: datetime) -> bool:
    """Stop one delivery, which makes room for others; False when its state does not allow that."""
    cancelled = transaction.outbox.cancel(delivery.delivery_id, at=at)
    if cancelled and delivery.state is DeliveryState.PENDING:
        transaction.wake_delivery(delivery.delivery_id)
    return cancelled


def wake_commitments(transaction: Transaction, job_id: int) -> None:
    """Those that back off find that nothing waits for them any more, and make room."""
    for commitment in transaction.commitments.of_job(job_id):
        if commitment.state is CommitmentState.OWED:
            transaction.wake_commitment(commitment.commitment_id)
