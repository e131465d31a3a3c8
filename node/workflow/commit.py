"""Storage Commitment of results: asked for once they are stored, followed up, made good.

All results of a job at one destination go into one request, made when none of them is on its way
there any more: a PACS checks and reports them together, and a cine of many instances costs one
association. A request again is a new one with its own transaction UID (a PACS may refuse one it
knows, 0x0131); the report to any of them counts.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from node.domain.commitment import Commitment, CommitmentState
from node.domain.delivery import Delivery, DeliveryOutcome, DeliveryState
from node.domain.errors import CardioNodeError, Kind
from node.workflow.commitment_report import CommitmentPolicy
from node.workflow.ports import (
    Clock,
    CommitmentRequester,
    Level,
    Telemetry,
    Transaction,
    UnitOfWork,
    always,
)
from node.workflow.retry import RetryPolicy
from node.workflow.waiting import release_waiting

_LATER_S = 1.0
"""Whoever looks after a silent destination does so this much later than its report was due."""


def new_transaction_uid() -> str:
    """A UID that was never used. Source: DICOM PS3.5 B.2."""
    return f"2.25.{uuid.uuid4().int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Committing:
    """Asks destinations for their commitment, and sees to those that say nothing."""

    work: UnitOfWork
    requesters: Mapping[str, CommitmentRequester]
    """By name, of the destinations whose commitment is wanted."""
    policies: Mapping[str, CommitmentPolicy]
    retries: Mapping[str, RetryPolicy]
    after: Mapping[str, str]
    """Destinations whose deliveries wait, each with the one whose commitment they wait for."""
    telemetry: Telemetry
    clock: Clock
    is_clock_trusted: Callable[[], bool] = always
    """By no other is anything given up."""
    jitter: Callable[[], float] = Random().random
    new_uid: Callable[[], str] = new_transaction_uid

    def follow(self, transaction: Transaction, job_id: int, destination: str) -> None:
        """Ask for commitment once nothing of the job is on its way to the destination any more.

        Call it in the transaction in which a delivery was settled, with the job locked.
        """
        if transaction.outbox.is_any_pending(job_id, destination):
            return
        stored = [
            delivery
            for delivery in transaction.outbox.of_job(job_id)
            if delivery.destination == destination and delivery.state is DeliveryState.STORED
        ]
        if stored:
            self._ask(transaction, stored)
        self._release(transaction, job_id)

    def attempt(self, commitment_id: int) -> float | None:
        """Do what is due for a request: make it, or see to its silence.

        Gives the seconds to wait for the next try, None when there is none.
        """
        with self.work.begin() as transaction:
            commitment = transaction.commitments.get(commitment_id)
            if commitment is None:
                return None
            stored = self._stored(transaction, commitment)
        if commitment.state not in (CommitmentState.OWED, CommitmentState.AWAITED):
            return None
        if stored and commitment.state is CommitmentState.AWAITED:
            return self._overdue(commitment)
        if not stored:
            with self.work.begin() as transaction:
                transaction.commitments.settle(commitment_id, CommitmentState.VOID, at=self.clock())
            return None
        return self._request(commitment, stored)

    def recheck(self) -> None:
        """Let go what waits for a destination as it is configured now."""
        with self.work.begin() as transaction:
            for job_id in transaction.outbox.jobs_with_waiting():
                self._release(transaction, job_id)

    def park(self, commitment_id: int, code: str, message: str) -> None:
        """Stop asking; a person sees why and can set the results going again."""
        with self.work.begin() as transaction:
            commitment = transaction.commitments.get(commitment_id)
        if commitment is not None:
            self._stop(commitment, DeliveryState.REFUSED, code, message)

    def _ask(self, transaction: Transaction, stored: Sequence[Delivery]) -> None:
        commitment = transaction.commitments.add(
            stored, transaction_uid=self.new_uid(), at=self.clock()
        )
        transaction.enqueue_commitment(
            commitment.commitment_id, run=1, destination=commitment.destination
        )

    def _stored(self, transaction: Transaction, commitment: Commitment) -> list[Delivery]:
        """What still waits for this request, and for no later one."""
        superseded = transaction.commitments.superseded(commitment.commitment_id)
        return [
            delivery
            for delivery in transaction.outbox.of_commitment(commitment.commitment_id)
            if delivery.state is DeliveryState.STORED and delivery.delivery_id not in superseded
        ]

    def _request(self, commitment: Commitment, stored: Sequence[Delivery]) -> float | None:
        requester = self.requesters.get(commitment.destination)
        if requester is None:
            reason = f"the commitment of {commitment.destination!r} is not configured any more"
            self._stop(commitment, DeliveryState.REFUSED, "configuration", reason)
            return None
        instances = [(delivery.sop_class_uid, delivery.identifier) for delivery in stored]
        try:
            with requester.asked(commitment.transaction_uid, instances):
                self._taken(commitment, len(stored))
        except CardioNodeError as error:
            return self._not_taken(commitment, error)
        return None

    def _taken(self, commitment: Commitment, count: int) -> None:
        """The destination owes its report: see to it when that is overdue."""
        wait_s = self._policy(commitment).wait_s
        at = self.clock()
        with self.work.begin() as transaction:
            awaited = transaction.commitments.settle(
                commitment.commitment_id,
                CommitmentState.AWAITED,
                at=at,
                due_at=at + timedelta(seconds=wait_s),
            )
            last = transaction.commitments.run_of(commitment.commitment_id)
            run = transaction.commitments.take_up(commitment.commitment_id, run=last)
            if awaited and run is not None:
                transaction.enqueue_commitment(
                    commitment.commitment_id,
                    run=run,
                    destination=commitment.destination,
                    due_at=at + timedelta(seconds=wait_s + _LATER_S),
                )
        self.telemetry.event(
            "commitment asked for",
            transaction_uid=commitment.transaction_uid,
            job_id=commitment.job_id,
            destination=commitment.destination,
            attempt=commitment.number,
            count=count,
        )

    def _not_taken(self, commitment: Commitment, error: CardioNodeError) -> float | None:
        retry = self.retries[commitment.destination]
        at = self.clock()
        if error.kind is Kind.PERMANENT:
            self._stop(commitment, DeliveryState.REFUSED, error.code, error.message)
            return None
        is_old = at - commitment.requested_at > timedelta(seconds=retry.give_up_after_s)
        if is_old and self.is_clock_trusted():
            self._stop(commitment, DeliveryState.EXHAUSTED, error.code, error.message)
            return None
        wait_s = retry.wait_s(commitment.attempts + 1, self.jitter())
        with self.work.begin() as transaction:
            owed = transaction.commitments.settle(
                commitment.commitment_id,
                CommitmentState.OWED,
                at=at,
                due_at=at + timedelta(seconds=wait_s),
                error_code=error.code,
                error_message=error.message,
            )
        self._warn(commitment, error.code, error.message)
        return wait_s if owed else None

    def _stop(self, commitment: Commitment, state: DeliveryState, code: str, message: str) -> None:
        """End a request that was not taken, and what waits for it."""
        outcome = DeliveryOutcome(state=state, error_code=code, error_message=message)
        at = self.clock()
        with self.work.begin() as transaction:
            transaction.jobs.lock(commitment.job_id)
            stopped = transaction.commitments.settle(
                commitment.commitment_id,
                CommitmentState.REFUSED,
                at=at,
                error_code=code,
                error_message=message,
            )
            if stopped:
                self._settle_all(transaction, commitment, outcome, at)
                self._release(transaction, commitment.job_id)
        self._warn(commitment, code, message)

    def _overdue(self, commitment: Commitment) -> float | None:
        """Ask again, or show a person that there is no report. The seconds that are left for it."""
        at = self.clock()
        if commitment.due_at is not None and at < commitment.due_at:
            return (commitment.due_at - at).total_seconds()
        policy = self._policy(commitment)
        is_last = commitment.number >= policy.requests
        times = "once" if commitment.number == 1 else f"{commitment.number} times"
        message = (
            f"{commitment.destination} took the request for commitment {times} and sent no report "
            f"within {policy.wait_s:g} s: does it know our AE title, address and DICOM port?"
        )
        outcome = DeliveryOutcome(
            state=DeliveryState.EXHAUSTED if is_last else DeliveryState.STORED,
            error_code="no-report",
            error_message=message,
        )
        with self.work.begin() as transaction:
            transaction.jobs.lock(commitment.job_id)
            silent = transaction.commitments.settle(
                commitment.commitment_id,
                CommitmentState.SILENT,
                at=at,
                error_code=outcome.error_code,
                error_message=message,
            )
            stored = self._settle_all(transaction, commitment, outcome, at) if silent else []
            if stored and not is_last:
                self._ask(transaction, stored)
            self._release(transaction, commitment.job_id)
        if stored:
            self._warn(commitment, "no-report", message)
        return None

    def _settle_all(
        self,
        transaction: Transaction,
        commitment: Commitment,
        outcome: DeliveryOutcome,
        at: datetime,
    ) -> list[Delivery]:
        """Write the same outcome to all that waits for a request; what that was."""
        stored = self._stored(transaction, commitment)
        for delivery in stored:
            transaction.outbox.settle_commitment(
                delivery.delivery_id, outcome, started_at=commitment.requested_at, at=at
            )
        return stored

    def _release(self, transaction: Transaction, job_id: int) -> None:
        release_waiting(transaction, job_id, after=self.after, at=self.clock())

    def _policy(self, commitment: Commitment) -> CommitmentPolicy:
        return self.policies.get(commitment.destination, CommitmentPolicy())

    def _warn(self, commitment: Commitment, code: str, message: str) -> None:
        self.telemetry.event(
            "no commitment yet",
            level=Level.WARNING,
            transaction_uid=commitment.transaction_uid,
            job_id=commitment.job_id,
            destination=commitment.destination,
            attempt=commitment.number,
            error_code=code,
            reason=message,
        )
