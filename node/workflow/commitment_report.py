"""Taking what a destination reports about its commitment to results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.domain.commitment import Commitment, CommitmentReport, CommitmentState
from node.domain.delivery import Delivery, DeliveryOutcome, DeliveryState
from node.domain.errors import DeliveryError, Kind, UnknownTransaction
from node.domain.instance import Origin
from node.workflow.ports import Clock, Level, Telemetry, Transaction, UnitOfWork
from node.workflow.waiting import release_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentPolicy:
    """How a destination's commitment is waited for."""

    wait_s: float = 600.0
    """Silence after which it is asked for again."""
    requests: int = 3
    """In all; then the results wait for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReports:
    """Writes what destinations report."""

    work: UnitOfWork
    policies: Mapping[str, CommitmentPolicy]
    after: Mapping[str, str]
    """Destinations whose deliveries wait, each with the one whose commitment they wait for."""
    telemetry: Telemetry
    clock: Clock

    def take(self, report: CommitmentReport, origin: Origin) -> None:
        """Write what a destination reports; durable when this returns. Twice changes nothing.

        Good news counts from each of our requests, bad news only from the last one for a result.
        Raises UnknownTransaction, StorageError.
        """
        with self.work.begin() as transaction:
            commitment = transaction.commitments.of_transaction(report.transaction_uid)
            if commitment is None:
                raise UnknownTransaction(
                    "a commitment report names a transaction that this node does not know: its job "
                    "was removed, or the report is for another; nothing to do if it stays alone"
                )
            transaction.jobs.lock(commitment.job_id)
            outcomes = self._apply(transaction, commitment, report)
            release_waiting(transaction, commitment.job_id, after=self.after, at=self.clock())
        states = [outcome.state for _, outcome in outcomes]
        self.telemetry.event(
            "commitment reported",
            transaction_uid=report.transaction_uid,
            job_id=commitment.job_id,
            destination=commitment.destination,
            calling_ae=origin.calling_ae,
            peer=origin.peer,
            count=states.count(DeliveryState.COMMITTED),
        )
        self._tell(commitment, outcomes)

    def _apply(
        self, transaction: Transaction, commitment: Commitment, report: CommitmentReport
    ) -> list[tuple[Delivery, DeliveryOutcome]]:
        at = self.clock()
        asked = transaction.outbox.of_commitment(commitment.commitment_id)
        if {delivery.identifier for delivery in asked} <= report.committed | report.failed.keys():
            new = transaction.commitments.settle(
                commitment.commitment_id, CommitmentState.REPORTED, at=at
            )
            if not new:
                return []
        superseded = transaction.commitments.superseded(commitment.commitment_id)
        outcomes: list[tuple[Delivery, DeliveryOutcome]] = []
        for delivery in asked:
            error = report.failed.get(delivery.identifier)
            if delivery.identifier in report.committed:
                outcome = DeliveryOutcome(state=DeliveryState.COMMITTED)
            elif error is not None and delivery.delivery_id not in superseded:
                outcome = self._failed(commitment, error)
            else:
                continue
            changed = transaction.outbox.settle_commitment(
                delivery.delivery_id, outcome, started_at=commitment.requested_at, at=at
            )
            if changed:
                outcomes.append((delivery, outcome))
            if changed and outcome.state is DeliveryState.PENDING:
                transaction.enqueue_delivery(
                    delivery.delivery_id,
                    run=transaction.outbox.run_of(delivery.delivery_id),
                    destination=delivery.destination,
                    kind=delivery.destination_kind,
                )
        return outcomes

    def _failed(self, commitment: Commitment, error: DeliveryError) -> DeliveryOutcome:
        """What to do with a result that its destination does not commit itself to."""
        state = DeliveryState.PENDING
        policy = self.policies.get(commitment.destination, CommitmentPolicy())
        if error.kind is Kind.PERMANENT:
            state = DeliveryState.REFUSED
        elif commitment.number >= policy.requests:
            state = DeliveryState.EXHAUSTED
        return DeliveryOutcome(state=state, error_code="not-committed", error_message=error.message)

    def _tell(
        self, commitment: Commitment, outcomes: Sequence[tuple[Delivery, DeliveryOutcome]]
    ) -> None:
        for delivery, outcome in outcomes:
            if outcome.error_code is not None:
                self.telemetry.event(
                    "result not committed",
                    level=Level.WARNING,
                    delivery_id=delivery.delivery_id,
                    job_id=delivery.job_id,
                    destination=delivery.destination,
                    result_kind=delivery.kind.value,
                    attempt=commitment.number,
                    state=outcome.state.value,
                    error_code=outcome.error_code,
                    reason=outcome.error_message,
                )
