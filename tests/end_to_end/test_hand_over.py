"""New jobs reach a real engine a few ahead of its work, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys, time
from dataclasses import replace
from pathlib import Path
from benchmarks.receiving.node_receiver import make_queue
from node.domain.delivery import JobState, Priority
from node.engine.hand_over import AHEAD, HandOver, hand_over
from node.engine.redrive import redrive
from node.engine.unit_of_work import EngineUnitOfWork, job_workflow_id
from node.store.database import Database, sqlite_url
from node.store.received import Jobs
from tests.fakes import Clock, Notes
from tests.unit.store.test_rows import INSTANCE

database = Database(sqlite_url(Path(sys.argv[1]) / "node.db"))
database.prepare()
make_queue(database)
work = EngineUnitOfWork(database)

def receive(*names, priority=Priority.ROUTINE):
    with work.begin() as transaction:
        instances = [replace(INSTANCE, sop_instance_uid=f"1.2.{name}") for name in names]
        ids = [transaction.jobs.add(each, priority=priority) for each in instances]
        transaction.announce_job()
    return ids

def queued():
    return [each.workflow_id for each in work.client.list_workflows(status="ENQUEUED")]

assert hand_over(database, work)
morning = receive(*range(3 * AHEAD))
assert work.announced.is_set()
stat, = receive("9.9", priority=Priority.STAT)
assert not hand_over(database, work)
first = [stat, *morning[: AHEAD - 1]]
assert sorted(queued()) == sorted(job_workflow_id(each, 1) for each in first)

# Full: nothing more until something is begun, but for what is urgent.
assert not hand_over(database, work)
assert len(queued()) == AHEAD
another, = receive("9.10", priority=Priority.STAT)
assert not hand_over(database, work)
assert sorted(queued()) == sorted(job_workflow_id(each, 1) for each in [another, *first])
# What the engine does not have yet was not lost by it.
assert redrive(work, Clock()) == 0

for each in first[:2]:
    work.client.cancel_workflow(job_workflow_id(each, 1))
with work.begin() as transaction:
    transaction.jobs.settle(morning[AHEAD - 1], JobState.CANCELLED, at=Clock()())
assert not hand_over(database, work)
assert len(queued()) == AHEAD
assert job_workflow_id(morning[AHEAD - 1], 1) not in queued()
assert job_workflow_id(morning[AHEAD], 1) in queued()

# All of it, by the thread; what was cancelled in the engine is found by the redrive.
def left():
    with database.read() as connection:
        return Jobs(connection).new(limit=1)

notes = Notes()
thread = HandOver(database, work, notes)
thread.start()
until = time.monotonic() + 30
while left() and time.monotonic() < until:
    for each in queued():
        work.client.cancel_workflow(each)
    time.sleep(0.05)
thread.stop()
assert not left()
with database.read() as connection:
    assert len(Jobs(connection).queued()) == 3 * AHEAD + 1
assert notes.events == []
lost = len(work.client.list_workflows(status="CANCELLED"))
assert lost > 2 * AHEAD
assert redrive(work, Clock()) == lost
print("handed over")
"""


def test_new_jobs_are_handed_over_a_few_ahead_and_the_urgent_first(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == "handed over", done.stderr[-3000:]
