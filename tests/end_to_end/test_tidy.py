"""Retention and redrive on a real engine, in a process of their own (one engine a process)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.end_to_end.node_process import NodeProcess

SCRIPT = """
import sys, time
from datetime import timedelta
from pathlib import Path
import sqlalchemy as sa
from node.app import Node, utc_now
from node.dicom.scu import StorageScu
from node.domain.delivery import JobState
from node.engine.redrive import redrive
from node.engine.retention import remove_engine_records, remove_old_jobs
from node.settings import read_settings
from tests.ecg_instances import instances

node = Node(read_settings(Path(sys.argv[1])), Path(sys.argv[2]))
node.start()
scu = StorageScu(calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1",
                 port=node.ports["dicom"])

def count():
    with node._work.begin() as transaction:
        return transaction.jobs.count_by_state()

def wait(completed):
    until = time.monotonic() + 40
    while count()[JobState.COMPLETED] != completed and time.monotonic() < until:
        time.sleep(0.1)
    assert count()[JobState.COMPLETED] == completed, count()

for _, content in instances(3):
    scu.send(content)
wait(3)

# The engine forgets everything: our rows still say what is owed.
with node._work.begin() as transaction:
    transaction.jobs._connection.execute(sa.text("update node_job set state='received'"))
    transaction.jobs._connection.execute(sa.text("delete from node_turn"))
    transaction.jobs._connection.execute(sa.text("delete from workflow_status"))
assert redrive(node._work) == 3
assert redrive(node._work) == 0
wait(3)

def files():
    return sum(path.is_file() for path in (Path(sys.argv[2]) / "spool").glob("*/*"))

kept = files()
assert kept >= 3

def remove(now, finished_days=0, failed_days=0):
    return remove_old_jobs(node._work, node._spool, now=now, finished_days=finished_days,
                           failed_days=failed_days)

assert remove(utc_now(), 1, 1) == 0
assert files() == kept
later = utc_now() + timedelta(days=2)
assert remove(later, 0, 1) == 0
assert remove(later, 1, 0) == 3
assert files() == 0
assert node._work.client.list_workflows() != []
remove_engine_records(node._work, now=later)
assert node._work.client.list_workflows() == []
scu.send(next(instances(1))[1])
wait(1)
node.stop()
print("tidy")
"""


def test_orphaned_work_is_taken_up_and_finished_work_goes_when_it_is_old(tmp_path: Path) -> None:
    configured = NodeProcess(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(configured.configuration), str(configured.home)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == "tidy", done.stderr[-3000:]
