"""Our tables are the truth: work that is owed and that no live workflow holds is enqueued again."""

from __future__ import annotations

from collections.abc import Set

from dbos import WorkflowStatus

from node.engine.unit_of_work import (
    EngineUnitOfWork,
    commitment_workflow_id,
    delivery_workflow_id,
    job_workflow_id,
)
from node.workflow.ports import Clock

_LIVE = ["PENDING", "ENQUEUED", "DELAYED"]


def redrive(work: EngineUnitOfWork, clock: Clock, *, orphaned: Set[str] = frozenset()) -> int:
    """Enqueue each owed job, delivery and commitment without a live workflow; how many.

    orphaned: ids of workflows that nobody executes; they are ended. Jobs that were never enqueued
    are the hand-over's. Raises StorageError.
    """
    with work.begin() as transaction:
        jobs = {job_workflow_id(job.job_id, job.run): job for job in transaction.jobs.queued()}
        deliveries = {
            delivery_workflow_id(delivery.delivery_id, run): (delivery, run)
            for delivery in transaction.outbox.pending()
            for run in [transaction.outbox.run_of(delivery.delivery_id)]
        }
        commitments = {
            commitment_workflow_id(commitment.commitment_id, run): (commitment, run)
            for commitment in transaction.commitments.open()
            for run in [transaction.commitments.run_of(commitment.commitment_id)]
        }
    # Rows first, workflows second: what was committed between the two has both.
    live = _live_workflow_ids(work) - orphaned
    again = 0
    with work.begin() as transaction:
        # What was settled while the workflows were listed is owed no more: `take_up` leaves it.
        for job in (job for name, job in jobs.items() if name not in live):
            run = transaction.jobs.take_up(job.job_id, run=job.run)
            if run is not None:
                transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
                again += 1
        for owed, last in (each for name, each in deliveries.items() if name not in live):
            run = transaction.outbox.take_up(owed.delivery_id, run=last)
            if run is not None:
                transaction.enqueue_delivery(
                    owed.delivery_id,
                    run=run,
                    destination=owed.destination,
                    kind=owed.destination_kind,
                )
                again += 1
        for asked, last in (each for name, each in commitments.items() if name not in live):
            run = transaction.commitments.take_up(asked.commitment_id, run=last)
            if run is not None:
                due_in_s = (asked.due_at - clock()).total_seconds() if asked.due_at else 0.0
                transaction.enqueue_commitment(
                    asked.commitment_id,
                    run=run,
                    destination=asked.destination,
                    delay_s=max(0.0, due_in_s),
                )
                again += 1
    # Last: until then they hold the place in their queue that what was enqueued anew is to have.
    if orphaned:
        work.client.cancel_workflows(list(orphaned))
    return again


def _live_workflow_ids(work: EngineUnitOfWork) -> set[str]:
    found: list[WorkflowStatus] = work.client.list_workflows(
        status=_LIVE, load_input=False, load_output=False
    )
    return {status.workflow_id for status in found}
