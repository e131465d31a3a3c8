"""Fills a database with ECGs, has hosts work on them, and takes the time."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.engine.worker import RESULT, RESULTS, answer, make_postman, now
from node.domain.delivery import JobState, Priority
from node.domain.host import ALL_ROLES, HostRole
from node.domain.instance import Origin, ReceivedInstance
from node.engine.unit_of_work import EngineUnitOfWork
from node.logs import Journal, set_up_logging
from node.metrics import Metrics
from node.store.database import Database
from node.store.outbox import Outbox
from node.store.received import Jobs
from node.store.spool import Spool

ROOT: Final = Path(__file__).parents[2]
PATIENCE_S: Final = 300.0
MakeUrl = Callable[[], str]
"""Of a database that is new and empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Of the engine on one database."""

    database: str
    ecgs: int
    with_engine_ms: float
    """An ECG, from its turn to the last of its results acknowledged."""
    rows_alone_ms: float
    """The same rows, written in the same transactions by a plain loop."""

    @property
    def engine_ms(self) -> float:
        return self.with_engine_ms - self.rows_alone_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """So many hosts at the same work."""

    workers: int
    ecgs: int
    a_second: float


def measure_overhead(database: str, make_url: MakeUrl, ecgs: int) -> Overhead:
    return Overhead(
        database=database,
        ecgs=ecgs,
        with_engine_ms=1000 * _with_engine_s(make_url(), ecgs) / ecgs,
        rows_alone_ms=1000 * _rows_alone_s(make_url(), ecgs) / ecgs,
    )


def measure_scale(
    make_url: MakeUrl, workers: Sequence[int], *, ecgs_each: int, sleep_s: float
) -> list[Scale]:
    """Hosts that infer, and sleep instead: what they share is the database alone."""
    found = []
    for count in workers:
        with _empty(make_url()) as (folder, work), ExitStack() as hosts:
            for _ in range(count):
                hosts.enter_context(_host(folder, work, frozenset({HostRole.INFER}), sleep_s))
            begun = time.monotonic()
            _fill(work, count * ecgs_each)
            _wait_until(lambda: _is_answered(work))
            took_s = time.monotonic() - begun
        found.append(
            Scale(workers=count, ecgs=count * ecgs_each, a_second=count * ecgs_each / took_s)
        )
    return found


def _with_engine_s(url: str, ecgs: int) -> float:
    with _empty(url) as (folder, work), _host(folder, work, ALL_ROLES, 0.0):
        begun = time.monotonic()
        _fill(work, ecgs)
        _wait_until(lambda: _is_answered(work) and _is_sent(work, ecgs))
        return time.monotonic() - begun


def _rows_alone_s(url: str, ecgs: int) -> float:
    journal = Journal(set_up_logging(form="json", level="warning"), Metrics())
    with _empty(url) as (folder, work):
        spool = Spool(folder / "spool")
        digest, postman = spool.put(RESULT), make_postman(work, spool, journal)
        begun = time.monotonic()
        _fill(work, ecgs)
        for job_id in range(1, ecgs + 1):
            with work.begin() as transaction:
                owed = answer(transaction, job_id, digest)
            for delivery_id, _, _ in owed:
                postman.attempt(delivery_id)
        return time.monotonic() - begun


@contextmanager
def _empty(url: str) -> Iterator[tuple[Path, EngineUnitOfWork]]:
    database = Database(url)
    database.prepare()
    work = EngineUnitOfWork(database)
    with tempfile.TemporaryDirectory() as name:
        Spool(Path(name) / "spool")
        yield Path(name), work
        work.close()
        database.close()


def _fill(work: EngineUnitOfWork, ecgs: int) -> None:
    """As a burst of a morning that is received in one transaction."""
    at = now()
    with work.begin() as transaction:
        for number in range(ecgs):
            uid = f"1.2.{number}"
            job_id = transaction.jobs.add(
                ReceivedInstance(
                    sop_class_uid="1.2",
                    sop_instance_uid=uid,
                    transfer_syntax_uid="1.2",
                    origin=Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1"),
                    content_digest=uid.rjust(64, "0"),
                    size_bytes=1,
                    received_at=at,
                    content=b"",
                )
            )
            transaction.enqueue_job(job_id, run=0, priority=Priority.ROUTINE)


@contextmanager
def _host(
    folder: Path, work: EngineUnitOfWork, roles: frozenset[HostRole], sleep_s: float
) -> Iterator[None]:
    url = work.database.engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "benchmarks.engine.worker", str(folder), url,
            "+".join(sorted(roles)), str(sleep_s),
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != "works\n":
            raise RuntimeError("a host did not start")
        yield
    finally:
        process.stdin.close()
        process.wait(60)


def _is_answered(work: EngineUnitOfWork) -> bool:
    with work.database.read() as connection:
        return Jobs(connection).count_by_state()[JobState.RECEIVED] == 0


def _is_sent(work: EngineUnitOfWork, ecgs: int) -> bool:
    with work.database.read() as connection:
        counts = Outbox(connection).count_by_destination()
    arrived = sum(count for (_, state), count in counts.items() if state.value == "delivered")
    return arrived == ecgs * len(RESULTS)


def _wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > until:
            raise RuntimeError("the work did not end")
        time.sleep(0.05)
