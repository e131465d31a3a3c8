"""Our tables are the truth: what is owed and has no turn is given one."""

from __future__ import annotations

from node.engine.unit_of_work import EngineTransaction, EngineUnitOfWork


def redrive(work: EngineUnitOfWork) -> int:
    """Give each owed job, delivery and commitment its turn where it has none; how many.

    Both are written in one transaction, so there are none but after an upgrade, or after somebody
    emptied the table. Raises StorageError.
    """
    with work.begin() as transaction:
        return sum((_jobs(transaction), _deliveries(transaction), _commitments(transaction)))


def _jobs(transaction: EngineTransaction) -> int:
    missing = transaction.turns.jobs_without()
    for job_id in missing:
        job = transaction.jobs.get(job_id)
        if job is not None:
            transaction.enqueue_job(job_id, run=job.run, priority=job.priority)
    return len(missing)


def _deliveries(transaction: EngineTransaction) -> int:
    missing = transaction.turns.deliveries_without()
    for delivery_id in missing:
        owed = transaction.outbox.get(delivery_id)
        if owed is not None:
            transaction.enqueue_delivery(
                delivery_id,
                run=transaction.outbox.run_of(delivery_id),
                destination=owed.destination,
                kind=owed.destination_kind,
            )
    return len(missing)


def _commitments(transaction: EngineTransaction) -> int:
    missing = transaction.turns.commitments_without()
    for commitment_id in missing:
        asked = transaction.commitments.get(commitment_id)
        if asked is not None:
            transaction.enqueue_commitment(
                commitment_id,
                run=transaction.commitments.run_of(commitment_id),
                destination=asked.destination,
                due_at=asked.due_at,
            )
    return len(missing)
