"""A node between cart and PACS: the ECG itself arrives as it came, also where no answer is made."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread

from node.dicom.part10 import split_part10
from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, settled

CONFIGURATION = """
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "127.0.0.1"
port = {port}
[[rules]]
name = "all"
results = ["ecg", "report"]
destinations = ["PACS"]
"""


@pytest.fixture
def pacs() -> Iterator[PacsStandIn]:
    archive = PacsStandIn(ae_title="PACS")
    yield archive
    archive.stop()


@pytest.fixture
def node(tmp_path: Path, pacs: PacsStandIn) -> Iterator[NodeProcess]:
    made = NodeProcess(tmp_path, extra=CONFIGURATION.format(port=pacs.start()))
    made.start()
    yield made
    made.close()


def undated() -> bytes:
    """An ECG that no result can be made of: nothing says when it was recorded."""
    dataset = dcmread(io.BytesIO(next(instances(1, start=2))[1]))
    for keyword in ("Acquisition", "Content", "Study"):
        for part in ("Date", "Time", "DateTime"):
            if f"{keyword}{part}" in dataset:
                delattr(dataset, f"{keyword}{part}")
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_ecgs_arrive_as_they_came_but_not_where_they_came_from(
    node: NodeProcess, pacs: PacsStandIn
) -> None:
    usable, unusable, returned = next(instances(1))[1], undated(), next(instances(1, start=3))[1]
    for calling_ae, content in (("CART", usable), ("CART", unusable), ("PACS", returned)):
        StorageScu(
            calling_ae=calling_ae, called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        ).send(content)
    jobs = node.wait_for_jobs(settled(3))
    assert [job["state"] for job in jobs] == ["completed", "failed", "completed"]
    assert [[each["kind"] for each in job["deliveries"]] for job in jobs] == [
        ["ecg", "report"],
        ["ecg"],
        ["report"],
    ]
    stored = pacs.instances()
    for job, content in zip(jobs[:2], (usable, unusable), strict=True):
        arrived = stored[job["sop_instance_uid"]]
        assert split_part10(arrived)[2] == split_part10(content)[2]
    assert jobs[2]["sop_instance_uid"] not in stored
