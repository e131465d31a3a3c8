"""Deliveries that wait until another destination has committed itself to what they refer to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from node.domain.delivery import ARRIVED, Delivery, DeliveryState, ResultKind
from node.workflow.ports import Transaction

_LONGEST = 1024
"""Of the column."""
_STOPPED = (DeliveryState.REFUSED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED)


def release_waiting(
    transaction: Transaction, job_id: int, *, after: Mapping[str, str], at: datetime
) -> None:
    """Owe what need not wait any more, and write what the rest has to wait for a person for.

    after: destinations whose deliveries wait, each with the one that has to commit itself first;
    where that has no result of the job it is not waited for.
    """
    deliveries = transaction.outbox.of_job(job_id)
    signed = {delivery.signs for delivery in deliveries}
    for waiting in deliveries:
        if waiting.state is not DeliveryState.WAITING:
            continue
        first = after.get(waiting.destination)
        there = [
            delivery
            for delivery in deliveries
            if (delivery.destination, delivery.revision) == (first, waiting.revision)
            and delivery.kind is not ResultKind.ECG
            and delivery.delivery_id not in signed
        ]
        if all(delivery.state in ARRIVED for delivery in there):
            run = transaction.outbox.release(waiting.delivery_id, at=at)
            if run is not None:
                transaction.enqueue_delivery(
                    waiting.delivery_id,
                    run=run,
                    destination=waiting.destination,
                    kind=waiting.destination_kind,
                )
            continue
        why = _why(there)
        if why != waiting.error_message:
            code = None if why is None else "awaits-commitment"
            transaction.outbox.explain(waiting.delivery_id, code, why)


def _why(there: Sequence[Delivery]) -> str | None:
    """What a person has to put right first; None while it may yet come right by itself."""
    stopped = next((delivery for delivery in there if delivery.state in _STOPPED), None)
    if stopped is None:
        return None
    reason = stopped.error_message or stopped.state.value
    words = f"waits for {stopped.destination}, where the {stopped.kind.value} stopped: {reason}"
    return words[:_LONGEST]
