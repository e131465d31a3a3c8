"""Removes what is finished and old: rows, bytes, and the engine's own records."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from node.domain.delivery import JobState
from node.domain.errors import StorageError
from node.engine.unit_of_work import EngineUnitOfWork
from node.store.objects import Objects
from node.store.received import FINISHED, UNUSABLE
from node.store.relay import Stream
from node.workflow.ports import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """After how many days what goes; with 0 it never does."""

    finished_days: int
    failed_days: int
    message_days: int
    audit_days: int
    is_audit_told: bool
    """To a repository: what it has not been told yet stays."""


BATCH = 500
"""Jobs of one transaction: short enough that a C-STORE does not wait for it."""
_KEPT_FOR = timedelta(hours=1)
_ENDED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]


def remove_old_jobs(
    work: EngineUnitOfWork, spool: Objects, *, now: datetime, finished_days: int, failed_days: int
) -> int:
    """Remove jobs that ended so long ago with nothing owed any more; how many.

    failed_days: of those that no results were made of, which wait for a person. Bytes go when no
    row names them. With 0 days nothing happens.
    """
    removed = 0
    for days, states in ((finished_days, FINISHED), (failed_days, UNUSABLE)):
        before = now - timedelta(days=days)
        while days and (batch := _remove_batch(work, spool, before, states)):
            removed += batch
    return removed


def forget_messages(
    work: EngineUnitOfWork, spool: Objects, *, now: datetime, message_days: int
) -> int:
    """Forget HL7 messages that came so long ago, with the orders and patients they told of.

    How many. Merges are kept; with 0 days everything is.
    """
    if message_days == 0:
        return 0
    before, forgotten = now - timedelta(days=message_days), 0
    while True:
        with work.begin() as transaction:
            digests = transaction.messages.forget_before(before, limit=BATCH)
            unnamed = digests - transaction.jobs.digests() if digests else set()
        _remove_bytes(spool, unnamed, before)
        if not digests:
            return forgotten
        forgotten += len(digests)


def forget_entries(work: UnitOfWork, *, now: datetime, audit_days: int, is_audit_told: bool) -> int:
    """Forget what people did so long ago; how many entries of the audit.

    is_audit_told: to a repository, and what it has not been told yet stays.
    With 0 days everything does.
    """
    if audit_days == 0:
        return 0
    before, forgotten = now - timedelta(days=audit_days), 0
    while True:
        with work.begin() as transaction:
            told_to = (transaction.relay.position(Stream.ENTRIES) or 0) if is_audit_told else None
            count = transaction.audit.forget_before(before, up_to=told_to, limit=BATCH)
        if not count:
            return forgotten
        forgotten += count


def _remove_batch(
    work: EngineUnitOfWork, spool: Objects, before: datetime, states: Collection[JobState]
) -> int:
    with work.begin() as transaction:
        jobs = transaction.jobs.ended_before(before, limit=BATCH, states=states)
        deliveries = transaction.outbox.of_jobs([job.job_id for job in jobs])
        digests = {job.content_digest for job in jobs}
        digests |= {job.prediction_digest for job in jobs if job.prediction_digest}
        digests |= {owed.content_digest for each in deliveries.values() for owed in each}
        for job in jobs:
            transaction.jobs.remove(job.job_id)
        unnamed = digests - transaction.jobs.digests() if jobs else set()
    _remove_bytes(spool, unnamed, before)
    return len(jobs)


def _remove_bytes(spool: Objects, digests: Collection[str], before: datetime) -> None:
    """All that can be; nothing names the rest: `cardionode store verify --sweep` finds it.

    Raises StorageError where there is a rest.
    """
    failure: StorageError | None = None
    for digest in digests:
        try:
            spool.remove_if_older(digest, than=before)
        except StorageError as error:
            failure = error
    if failure is not None:
        raise failure


def remove_engine_records(work: EngineUnitOfWork, *, now: datetime) -> None:
    """Remove what the engine keeps of work that it is done with: our rows tell of it."""
    before = now - _KEPT_FOR
    while True:
        ended = work.client.list_workflows(
            status=_ENDED,
            end_time=before.isoformat(),
            limit=BATCH,
            load_input=False,
            load_output=False,
        )
        if not ended:
            return
        work.client.delete_workflows([workflow.workflow_id for workflow in ended])
