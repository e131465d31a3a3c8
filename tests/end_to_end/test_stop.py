"""A node that is told to stop does not wait for a long prediction, and loses nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from node.dicom.scu import StorageScu
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess

SLOW = """
import time
from node.cli import main
from pipelines.ecg_to_cmr import EcgToCmr

def predict(self, *_, watch, **__):
    for step in range(1200):
        watch(step / 1200)
        time.sleep(0.1)
    raise AssertionError("two minutes are over")

EcgToCmr.predict = predict
main()
"""


class SlowNode(NodeProcess):
    """Its predictions take two minutes."""

    slow = True

    @property
    def command(self) -> list[str] | None:
        return [sys.executable, "-c", SLOW] if self.slow else None


@pytest.fixture
def node(tmp_path: Path) -> SlowNode:
    return SlowNode(tmp_path)


def test_a_long_prediction_ends_with_the_node_and_is_made_at_the_next_start(node: SlowNode) -> None:
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        scu.send(next(instances(1))[1])
        time.sleep(1.0)
        asked = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - asked < 20.0
        assert [event["error_code"] for event in node.events("job put off")] == ["interrupted"]
        assert "Traceback" not in node.text()
        node.slow = False
        node.start()
        (job,) = node.wait_for_jobs(lambda jobs: jobs[0]["state"] == "completed")
        assert job["state"] == "completed"
        assert node.stop() == 0
    finally:
        node.close()
