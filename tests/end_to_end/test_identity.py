"""ECGs whose patient is in doubt wait for a person, across kill -9; the others go on."""

from __future__ import annotations

import io
from pathlib import Path

from pydicom import dcmread

from node.dicom.scu import StorageScu
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, settled


def nameless(number: int) -> bytes:
    dataset = dcmread(io.BytesIO(next(instances(1, start=number))[1]))
    dataset.PatientID = ""
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_held_jobs_survive_a_kill_and_end_as_a_person_says(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path)
    try:
        node.start()
        scu = StorageScu(
            calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
        )
        for content in (nameless(1), next(instances(1, start=2))[1], nameless(3)):
            scu.send(content)
        jobs = node.wait_for_jobs(settled(3))
        assert [job["state"] for job in jobs] == ["held", "completed", "held"]
        assert "has no Patient ID" in jobs[0]["error_message"]

        node.kill()
        node.start()
        assert node.run("jobs", "release", "1").returncode == 0
        assert node.run("jobs", "reject", "3").returncode == 0
        assert node.run("jobs", "release", "3").returncode == 1
        jobs = node.wait_for_jobs(settled(3))
        assert [job["state"] for job in jobs] == ["completed", "completed", "cancelled"]
    finally:
        node.close()
