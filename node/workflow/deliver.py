"""One attempt at one delivery, and what follows from how it went."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from node.domain.delivery import Delivery, DeliveryOutcome, DeliveryState
from node.domain.elapsed import elapsed_ms
from node.domain.errors import (
    CardioNodeError,
    Kind,
    StorageError,
    TemporarilyRefused,
    Unreachable,
)
from node.workflow.commit import Committing
from node.workflow.ports import (
    Clock,
    Level,
    ObjectStore,
    Sender,
    Telemetry,
    UnitOfWork,
    always,
)
from node.workflow.retry import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Postman:
    """Carries deliveries; knows the sender and the patience of each destination."""

    spool: ObjectStore
    work: UnitOfWork
    senders: Mapping[str, Sender]
    policies: Mapping[str, RetryPolicy]
    committing: Committing
    """What is stored where commitment is wanted is handed on to it."""
    telemetry: Telemetry
    clock: Clock
    is_clock_trusted: Callable[[], bool] = always
    """By no other is anything given up."""
    jitter: Callable[[], float] = Random().random

    def attempt(self, delivery_id: int) -> float | None:
        """Try once. Gives the seconds to wait for the next try, None when there is none."""
        with self.work.begin() as transaction:
            is_owed = transaction.outbox.begin_attempt(delivery_id)
            delivery = transaction.outbox.get(delivery_id)
        if delivery is None or not is_owed:
            return None
        started_at = self.clock()
        outcome = self._send(delivery)
        is_settled = self._settle(delivery, outcome, started_at)
        if delivery.error_code == Unreachable.code != outcome.error_code:
            self._try_others(delivery.destination)
        if not is_settled or outcome.due_at is None:
            return None
        return max(0.0, (outcome.due_at - self.clock()).total_seconds())

    def _try_others(self, destination: str) -> None:
        """It is back: send at once what could not reach it.

        One after the other: a transaction with several turns would wait for who takes turns, and
        that one for it.
        """
        with self.work.begin() as transaction:
            unreached = transaction.outbox.unreached(destination)
        for delivery_id in unreached:
            with self.work.begin() as transaction:
                transaction.wake_delivery(delivery_id)

    def park(self, delivery_id: int, code: str, message: str) -> None:
        """Stop trying; a person sees why and can set it going again."""
        with self.work.begin() as transaction:
            delivery = transaction.outbox.get(delivery_id)
        if delivery is not None:
            outcome = DeliveryOutcome(
                state=DeliveryState.REFUSED, error_code=code, error_message=message
            )
            self._settle(delivery, outcome, self.clock())

    def _send(self, delivery: Delivery) -> DeliveryOutcome:
        sender = self.senders.get(delivery.destination)
        if sender is None:
            return DeliveryOutcome(
                state=DeliveryState.REFUSED,
                error_code="configuration",
                error_message=f"no destination {delivery.destination!r} is configured any more",
            )
        try:
            sender.send(self.spool.get(delivery.content_digest))
        except StorageError as error:
            return self._later(delivery, error)
        except CardioNodeError as error:
            if error.kind is Kind.PERMANENT:
                return _stop(DeliveryState.REFUSED, error)
            return self._later(delivery, error)
        owes_commitment = delivery.destination in self.committing.requesters
        return DeliveryOutcome(
            state=DeliveryState.STORED if owes_commitment else DeliveryState.DELIVERED
        )

    def _later(self, delivery: Delivery, error: CardioNodeError) -> DeliveryOutcome:
        policy = self.policies[delivery.destination]
        now = self.clock()
        is_old = now - delivery.owed_since > timedelta(seconds=policy.give_up_after_s)
        if is_old and self.is_clock_trusted():
            return _stop(DeliveryState.EXHAUSTED, error)
        if error.code == TemporarilyRefused.code and self._is_refused_for_good(delivery, policy):
            return _stop(DeliveryState.EXHAUSTED, error)
        wait_s = policy.wait_s(delivery.attempts + 1, self.jitter())
        if isinstance(error, TemporarilyRefused):
            wait_s = max(wait_s, min(error.retry_after_s, policy.maximum_s))
        return DeliveryOutcome(
            state=DeliveryState.PENDING,
            due_at=now + timedelta(seconds=wait_s),
            error_code=error.code,
            error_message=error.message,
        )

    def _is_refused_for_good(self, delivery: Delivery, policy: RetryPolicy) -> bool:
        if policy.maximum_refusals is None:
            return False
        with self.work.begin() as transaction:
            tried = transaction.outbox.attempts_of(delivery.delivery_id, since=delivery.owed_since)
        refusals = sum(each["error_code"] == TemporarilyRefused.code for each in tried)
        return refusals + 1 >= policy.maximum_refusals

    def _settle(self, delivery: Delivery, outcome: DeliveryOutcome, started_at: datetime) -> bool:
        """False when a person was faster."""
        at = self.clock()
        with self.work.begin() as transaction:
            transaction.jobs.lock(delivery.job_id)
            is_settled = transaction.outbox.settle(
                delivery.delivery_id, outcome, started_at=started_at, at=at
            )
            if outcome.state is not DeliveryState.PENDING:
                self.committing.follow(transaction, delivery.job_id, delivery.destination)
        self.telemetry.event(
            "delivery attempted",
            level=Level.INFO if outcome.error_code is None else Level.WARNING,
            delivery_id=delivery.delivery_id,
            job_id=delivery.job_id,
            destination=delivery.destination,
            result_kind=delivery.kind.value,
            attempt=delivery.attempts + 1,
            state=outcome.state.value,
            error_code=outcome.error_code,
            reason=outcome.error_message,
            duration_ms=elapsed_ms(started_at, at),
        )
        return is_settled


def _stop(state: DeliveryState, error: CardioNodeError) -> DeliveryOutcome:
    return DeliveryOutcome(state=state, error_code=error.code, error_message=error.message)
