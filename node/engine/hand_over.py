"""Gives the engine the jobs that are new, a few ahead of those it works on.

A job that is received is a row and nothing else: to receive costs no place in the engine's queue,
and a morning's backlog none of the engine's time.
"""

from __future__ import annotations

import threading
from typing import Final

from node.domain.delivery import Priority
from node.engine.unit_of_work import PROCESS_QUEUE, EngineUnitOfWork
from node.store.database import Database
from node.store.received import Jobs
from node.workflow.ports import Level, Telemetry

AHEAD: Final = 64
"""Jobs that are with the engine and not begun. Enough for all hosts until the next look."""
LOOK_S: Final = 0.2
"""How soon a job is found that another process received, or that had no room before."""
AFTER_FAULT_S: Final = 10.0


class HandOver:
    """Thread safety: `start` and `stop` belong to the thread that made it."""

    def __init__(self, database: Database, work: EngineUnitOfWork, telemetry: Telemetry) -> None:
        self._database = database
        self._work = work
        self._telemetry = telemetry
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hand-over", daemon=True)

    def start(self) -> None:
        """From here on new jobs are handed over, within LOOK_S or as soon as one is announced."""
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._work.announced.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                has_room = hand_over(self._database, self._work)
            except Exception as error:  # the thread's boundary
                self._telemetry.event(
                    "new jobs not handed over", level=Level.ERROR, error=error, reason=_LATER
                )
                self._stopping.wait(AFTER_FAULT_S)
                continue
            if has_room:
                self._work.announced.wait(LOOK_S)
            else:
                self._stopping.wait(LOOK_S)
            self._work.announced.clear()


_LATER: Final = "the jobs are safe and are handed over as soon as the database takes it"


def hand_over(database: Database, work: EngineUnitOfWork) -> bool:
    """Enqueue new jobs, the highest priority first; whether the engine has room for more.

    Those of the highest priority need no room: nothing that waits in the queue is before them.
    Raises StorageError.
    """
    with database.read() as connection:
        waiting = Jobs(connection).new(limit=AHEAD)
    if not waiting:
        return True
    queued = work.client.list_queued_workflows(
        queue_name=PROCESS_QUEUE, status="ENQUEUED", limit=AHEAD, load_input=False
    )
    room = AHEAD - len(queued)
    if room <= 0 and waiting[0][1] is not Priority.STAT:
        return False
    with work.begin() as transaction:
        first = transaction.jobs.new(limit=AHEAD)
        new = [each for n, each in enumerate(first) if n < room or each[1] is Priority.STAT]
        for job_id, priority in new:
            run = transaction.jobs.take_up(job_id, run=0)
            if run is not None:
                transaction.enqueue_job(job_id, run=run, priority=priority)
    return len(new) < room
