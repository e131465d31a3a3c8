"""Who passes whom: an ECG of a higher priority passes others, but none of its own patient.

A RIS that got the messages of one patient in another order could show an older answer as the last.
"""

from __future__ import annotations

from datetime import datetime

from node.domain.delivery import DeliveryState, DestinationKind, JobState
from node.workflow.ports import Transaction


def take_earlier_along(transaction: Transaction, job_id: int, *, at: datetime) -> None:
    """Give what is still owed of earlier ECGs of its patient the priority of a job that came now.

    It is enqueued once more, further ahead; its old place in the queue finds nothing to do.
    """
    for job in transaction.jobs.raise_earlier(job_id):
        if job.state is JobState.RECEIVED:
            run = transaction.jobs.start_again(job.job_id)
            if run is not None:
                transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
        for delivery in transaction.outbox.of_job(job.job_id):
            is_message = delivery.destination_kind is DestinationKind.HL7
            if not is_message or delivery.state is not DeliveryState.PENDING:
                continue
            run = transaction.outbox.start_again(delivery.delivery_id, at=at)
            if run is not None:
                transaction.enqueue_delivery(
                    delivery.delivery_id,
                    run=run,
                    destination=delivery.destination,
                    kind=delivery.destination_kind,
                )
