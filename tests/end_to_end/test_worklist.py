"""A node that looks orders up in DCMTK's worklist: results name them, doubts wait for a person."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from node.dicom.scu import StorageScu
from node.dicom.stand_in import PacsStandIn
from tests.ecg_instances import instances
from tests.end_to_end import forked
from tests.end_to_end.node_process import NodeProcess
from tests.worklist_peers import wlmscpfs, worklist_item

CONFIGURATION = """
[worklist]
ae_title = "RIS"
host = "127.0.0.1"
port = {worklist_port}
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
"""


@pytest.fixture
def pacs() -> Iterator[PacsStandIn]:
    archive = PacsStandIn(ae_title="PACS")
    yield archive
    archive.stop()


def ecg(number: int, **values: str) -> bytes:
    dataset = dcmread(io.BytesIO(next(instances(1, start=number))[1]))
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def order_like(dataset: Dataset, **values: str) -> Dataset:
    """The order that the ECG is for, as it names its patient."""
    return worklist_item(
        **{
            keyword: str(dataset.get(keyword, ""))
            for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
        },
        StudyInstanceUID="1.2.777",
        **values,
    )


def test_results_name_the_order_and_a_contradiction_is_held_until_released(
    tmp_path: Path, pacs: PacsStandIn
) -> None:
    own = ecg(1, AccessionNumber="ACC-1", PatientID="PID-1")
    wrong = ecg(2, AccessionNumber="ACC-2", PatientID="PID-2", StudyInstanceUID="1.2.99")
    first, second = (dcmread(io.BytesIO(content)) for content in (own, wrong))
    orders = (
        order_like(first, AccessionNumber="ACC-1", FillerOrderNumberImagingServiceRequest="FILL-1"),
        order_like(second, AccessionNumber="ACC-2"),
    )
    orders[1].PatientID = "PID-3"
    (tmp_path / "orders").mkdir()
    with wlmscpfs(tmp_path / "orders", *orders) as port:
        node = NodeProcess(
            tmp_path,
            extra=CONFIGURATION.format(worklist_port=port, pacs_port=pacs.start()),
        )
        try:
            node.start()
            checked = node.run("check")
            assert "Modality Worklist offered by RIS" in checked.stdout
            cart = StorageScu(
                calling_ae="CART", called_ae="CARDIONODE", host="127.0.0.1", port=node.dicom_port
            )
            cart.send(own)
            cart.send(wrong)
            jobs = node.wait_for_jobs(
                lambda jobs: (
                    [job["state"] for job in jobs] == ["completed", "held"]
                    and {each["state"] for each in jobs[0]["deliveries"]} == {"delivered"}
                )
            )
            assert "another Patient ID" in jobs[1]["error_message"]
            assert "PID" not in node.text()
            for name, content, exit_status in (("own", own, 0), ("wrong", wrong, 1)):
                (tmp_path / f"{name}.dcm").write_bytes(content)
                file, configuration = str(tmp_path / f"{name}.dcm"), str(node.configuration)
                tried = forked.run(["worklist", "test", file, "--config", configuration])
                assert tried.returncode == exit_status, tried
                assert "PID" not in tried.stdout
            assert node.run("jobs", "release", "2").returncode == 0
            node.wait_for_jobs(
                lambda jobs: (
                    jobs[1]["state"] == "completed"
                    and {each["state"] for each in jobs[1]["deliveries"]} == {"delivered"}
                )
            )
        finally:
            node.close()
    reports = [dcmread(io.BytesIO(each)) for each in pacs.instances().values()]
    requests = {
        str(report.PatientID): report.ReferencedRequestSequence[0]
        for report in reports
        if report.Modality == "SR"
    }
    assert requests["PID-1"].FillerOrderNumberImagingServiceRequest == "FILL-1"
    assert requests["PID-1"].RequestedProcedureID == "RP-1"
    assert requests["PID-2"].FillerOrderNumberImagingServiceRequest == ""
    assert requests["PID-2"].AccessionNumber == "ACC-2"
