"""Who passes whom: an ECG of a higher priority passes others, but none of its own patient.

A RIS that got the messages of one patient in another order could show an older answer as the last.
"""

from __future__ import annotations

from node.domain.delivery import DestinationKind
from node.workflow.ports import Transaction


def take_earlier_along(transaction: Transaction, job_id: int) -> None:
    """Give what is still owed of earlier ECGs of its patient the priority of a job that came now.

    They go before it, also a message that backs off: it is tried at once.
    """
    for job in transaction.jobs.raise_earlier(job_id):
        run = transaction.jobs.take_up(job.job_id, run=job.run)
        if run is not None:
            transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
        for delivery in transaction.outbox.of_job(job.job_id):
            if delivery.destination_kind is not DestinationKind.HL7:
                continue
            run = transaction.outbox.take_up(
                delivery.delivery_id, run=transaction.outbox.run_of(delivery.delivery_id)
            )
            if run is not None:
                transaction.enqueue_delivery(
                    delivery.delivery_id,
                    run=run,
                    destination=delivery.destination,
                    kind=delivery.destination_kind,
                )
