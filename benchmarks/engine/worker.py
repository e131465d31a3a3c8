"""One host of a node whose results and destinations cost nothing, in a process of its own.

    python -m benchmarks.engine.worker FOLDER URL ROLES SLEEP_S

A job takes SLEEP_S and owes what a usual ECG does. Prints a line when it works, ends when its input
does.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

from node.domain.delivery import DestinationKind, JobState, ResultKind
from node.domain.host import HostRole
from node.engine.cluster import Cluster
from node.engine.retention import Retention
from node.engine.runner import Runner
from node.engine.unit_of_work import EngineTransaction, EngineUnitOfWork
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.store.database import Database
from node.store.spool import Spool
from node.workflow.commit import Committing
from node.workflow.deliver import Postman
from node.workflow.process import Processing
from node.workflow.retry import RetryPolicy

RESULT: Final = b"a result"
RESULTS: Final = (
    (ResultKind.CINE, "PACS", DestinationKind.DICOM),
    (ResultKind.REPORT, "PACS", DestinationKind.DICOM),
    (ResultKind.ORU, "RIS", DestinationKind.HL7),
)
"""What is owed for an ECG, and to whom."""


def now() -> datetime:
    return datetime.now(UTC)


class Sleeping:
    """In place of `Processing`: takes its time, and then owes the results."""

    def __init__(self, work: EngineUnitOfWork, digest: str, sleep_s: float) -> None:
        self._work = work
        self._digest = digest
        self._sleep_s = sleep_s

    def process(self, job_id: int, _unless: Callable[[float], None]) -> None:
        time.sleep(self._sleep_s)
        with self._work.begin() as transaction:
            for delivery_id, destination, kind in answer(transaction, job_id, self._digest):
                transaction.enqueue_delivery(delivery_id, run=1, destination=destination, kind=kind)


class Nowhere:
    """A destination that acknowledges at once."""

    def send(self, content: bytes) -> None:
        pass


def answer(
    transaction: EngineTransaction, job_id: int, digest: str
) -> list[tuple[int, str, DestinationKind]]:
    """Write that the job is done, and what it owes."""
    transaction.jobs.lock(job_id)
    transaction.jobs.settle(job_id, JobState.COMPLETED, at=now(), revision=1, bundle="none")
    return [
        (
            transaction.outbox.add(
                job_id=job_id, kind=kind, identifier=f"{kind.value}.{job_id}", sop_class_uid="1.2",
                destination=destination, destination_kind=spoken, content_digest=digest,
                revision=1, at=now(),
            ),
            destination,
            spoken,
        )
        for kind, destination, spoken in RESULTS
    ]  # fmt: skip


def make_postman(work: EngineUnitOfWork, spool: Spool, journal: Journal) -> Postman:
    """Of destinations that cost nothing."""
    names = {destination for _, destination, _ in RESULTS}
    policy = RetryPolicy(initial_s=5, maximum_s=60, give_up_after_s=3600)
    committing = Committing(
        work=work, requesters={}, policies={}, retries={}, after={}, telemetry=journal, clock=now
    )
    return Postman(
        spool=spool,
        work=work,
        senders=dict.fromkeys(names, Nowhere()),
        policies=dict.fromkeys(names, policy),
        committing=committing,
        telemetry=journal,
        clock=now,
    )


def main(folder: Path, url: str, roles: frozenset[HostRole], sleep_s: float) -> None:
    journal = Journal(set_up_logging(form="json", level="warning"), Metrics())
    database, spool = Database(url), Spool(folder / "spool")
    database.prepare()
    work = EngineUnitOfWork(database)
    work.prepare()
    postman = make_postman(work, spool, journal)
    cluster = Cluster(
        work,
        home=folder / str(os.getpid()),
        store=spool.identity,
        roles=roles,
        telemetry=journal,
        clock=now,
    )
    runner = Runner(
        database=database,
        work=work,
        spool=spool,
        cluster=cluster,
        roles=roles,
        processing=cast(Processing, Sleeping(work, spool.put(RESULT), sleep_s)),
        postman=postman,
        committing=postman.committing,
        telemetry=journal,
        clock=now,
        processing_at_once=1,
        retention=Retention(
            finished_days=0, failed_days=0, message_days=0, audit_days=0, is_audit_told=False
        ),
    )
    cluster.start()
    runner.start()
    sys.stdout.write("works\n")
    sys.stdout.flush()
    sys.stdin.read()
    runner.stop()
    cluster.stop()


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        sys.argv[2],
        frozenset(HostRole(role) for role in sys.argv[3].split("+")),
        float(sys.argv[4]),
    )
