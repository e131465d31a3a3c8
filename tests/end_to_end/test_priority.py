"""An urgent ECG behind others: answered next, its message next, its patient's order kept."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from node.dicom.scu import StorageScu
from node.hl7.message import Header
from node.hl7.stand_in import RisStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess

ROUTINE = 20
URGENT = ROUTINE + 1
RULES = """
[destinations.RIS]
kind = "hl7"
host = "127.0.0.1"
port = {port}
[[rules]]
name = "emergency"
attributes = {{ InstitutionalDepartmentName = "ED*" }}
priority = "stat"
results = ["oru"]
destinations = ["RIS"]
[[rules]]
name = "rest"
results = ["oru"]
destinations = ["RIS"]
"""


class SlowRis(RisStandIn):
    """Takes its time for each message, so that others wait."""

    takes_s = 1.0

    def _keep(self, message: bytes, header: Header) -> None:
        time.sleep(self.takes_s)
        super()._keep(message, header)


@pytest.fixture
def ris() -> Iterator[SlowRis]:
    made = SlowRis()
    yield made
    made.stop()


@pytest.fixture
def node(tmp_path: Path, ris: SlowRis) -> Iterator[NodeProcess]:
    made = NodeProcess(tmp_path, extra=RULES.format(port=ris.start()))
    made.start()
    yield made
    made.close()


def urgent(patient_id: str) -> bytes:
    dataset = dcmread(io.BytesIO(next(instances(1, start=URGENT))[1]))
    dataset.PatientID = patient_id
    dataset.InstitutionalDepartmentName = "ED WEST"
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def until(node: NodeProcess, message: str, count: int) -> None:
    deadline_s = time.monotonic() + 60
    while len(node.events(message)) < count:
        assert time.monotonic() < deadline_s, node.text()[-3000:]
        time.sleep(0.02)


def jobs_after(node: NodeProcess, first: tuple[str, int], then: str) -> list[int]:
    """Jobs of each line with the message `then`, after the line of a message and a job."""
    lines = [json.loads(line) for line in node.text().splitlines() if line.startswith("{")]
    told: list[dict[str, Any]] = [line for line in lines if "job_id" in line]
    start = next(
        index for index, line in enumerate(told) if (line["message"], line["job_id"]) == first
    )
    return [line["job_id"] for line in told[start:] if line["message"] == then]


def test_an_urgent_ecg_is_answered_next_behind_its_own_patients_earlier_one(
    node: NodeProcess, ris: SlowRis
) -> None:
    scu = StorageScu(
        calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
    )
    for _, content in instances(ROUTINE):
        scu.send(content)
    until(node, "ecg predicted", 4)  # whose messages wait for the RIS
    scu.send(urgent(f"TEST-{ROUTINE:05}"))  # the patient of the last routine one
    until(node, "ecg predicted", URGENT)
    answered = jobs_after(node, ("instance accepted", URGENT), "ecg predicted")
    assert len(answered) > 3, "too few waited for this to show anything"
    ahead = answered[: answered.index(URGENT)]
    # At most the one that was being worked on, and the earlier ECG of the patient.
    assert ahead[-1] == ROUTINE
    assert len(ahead) <= 2
    assert answered[len(ahead) + 1 :] == sorted(answered[len(ahead) + 1 :])

    until(node, "delivery attempted", 3 + len(ahead))
    ris.takes_s = 0.0
    until(node, "delivery attempted", URGENT)
    told = jobs_after(node, ("ecg predicted", URGENT), "delivery attempted")
    assert len(told) > 3, "too few waited for this to show anything"
    ahead = told[: told.index(URGENT)]
    assert len([each for each in ahead if each != ROUTINE]) <= 1
    told_in_all = [event["job_id"] for event in node.events("delivery attempted")]
    assert told_in_all.index(ROUTINE) < told_in_all.index(URGENT)
    routine = [each for each in told_in_all if each < ROUTINE]
    assert routine == sorted(routine)
