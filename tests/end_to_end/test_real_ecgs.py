"""storescu -> node -> Orthanc and an MLLP listener, with every real ECG there is."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import hl7
import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from node.cli.orthanc import DICOM_PORT, PROGRAM, Orthanc
from node.cli.own_network import INSIDE
from node.dicom.report_reading import ReportedNumber, read_measurements
from node.hl7.stand_in import RisStandIn
from tests.conftest import absent
from tests.end_to_end.node_process import NodeProcess, destinations, settled

STORESCU = "/usr/bin/storescu"
HEMODYNAMIC = "ge_maclab_hemodynamic_240hz.dcm"
REFUSED = {
    # One lead of 1.25 s under the 12-lead SOP class.
    "cabolabs_1lead_200hz.dcm": {"lead-missing", "too-short"},
    # V3 drifts in from -17 mV: the electrode has no contact.
    "philips_pagewriter_f.dcm": {"poor-contact"},
}


class Hospital:
    """A node between Orthanc and a RIS, after every ECG was sent to it with storescu."""

    def __init__(self, folder: Path, files: list[Path]) -> None:
        self.files = files
        self.pacs, self.ris = Orthanc(), RisStandIn()
        self.pacs.start()
        pacs_ae = destinations(DICOM_PORT, self.ris.start()).replace('"PACS"', '"ORTHANC"')
        self.node = NodeProcess(folder, extra=pacs_ae)
        self.node.start()
        self.sent = {file.name: self._send(file) for file in files}
        accepted = sum(answer.returncode == 0 for answer in self.sent.values())
        jobs = self.node.wait_for_jobs(settled(accepted), within_s=120)
        self.jobs = {job["sop_instance_uid"]: job for job in jobs}
        self.instances = self.pacs.instances()

    def _send(self, file: Path) -> subprocess.CompletedProcess[str]:
        address = ["127.0.0.1", str(self.node.dicom_port)]
        return subprocess.run(
            [STORESCU, "-R", "-aec", "CARDIONODE", *address, file],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def job(self, name: str) -> dict[str, Any]:
        file = next(file for file in self.files if file.name == name)
        return self.jobs[str(dcmread(file, stop_before_pixels=True).SOPInstanceUID)]

    def close(self) -> None:
        self.node.close()
        self.pacs.stop()
        self.ris.stop()


@pytest.fixture(scope="module")
def hospital(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    if not shutil.which(STORESCU):
        absent("no DCMTK: apt-get install dcmtk")
    if not PROGRAM.exists():
        absent("no Orthanc: apt-get install orthanc")
    if not os.environ.get(INSIDE):
        absent("Orthanc is only started in a network of its own; run the tests with `make test`")
    files = _each_under_its_own_uid(shared, tmp_path_factory.mktemp("ecgs"))
    made = Hospital(tmp_path_factory.mktemp("hospital"), files)
    yield made
    made.close()


def _each_under_its_own_uid(shared: Path, folder: Path) -> list[Path]:
    """The sample ECGs; one whose publisher gave it the UID of another gets one of its own.

    Two contents under one UID are a conflict, which test_bad_input tests.
    """
    files, seen = [], set()
    for source in sorted((shared / "data/ecg_dicom").rglob("*.dcm")):
        dataset = dcmread(source)
        file = folder / source.name
        shutil.copy(source, file)
        if dataset.SOPInstanceUID in seen:
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[source.name])
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(file)
        seen.add(dataset.SOPInstanceUID)
        files.append(file)
    return files


def test_every_ecg_ends_in_results_in_a_reasoned_refusal_or_at_negotiation(
    hospital: Hospital,
) -> None:
    assert len(hospital.files) == 13
    for file in hospital.files:
        if file.name == HEMODYNAMIC:
            assert hospital.sent[file.name].returncode != 0
            continue
        assert hospital.sent[file.name].returncode == 0, hospital.sent[file.name].stderr
        job = hospital.job(file.name)
        kinds = sorted(each["kind"] for each in job["deliveries"])
        assert all(each["state"] == "delivered" for each in job["deliveries"]), file.name
        if file.name in REFUSED:
            assert job["state"] == "no-result", file.name
            assert kinds == ["report"]
        else:
            assert job["state"] == "completed", f"{file.name}: {job['error_message']}"
            assert kinds == ["cine", "oru", "report", "summary"]


def test_the_hemodynamic_object_is_refused_at_negotiation_and_the_log_explains(
    hospital: Hospital,
) -> None:
    refusals = hospital.node.events("presentation context refused")
    assert "1.2.840.10008.5.1.4.1.1.9.2.1" in {event["sop_class_uid"] for event in refusals}
    assert all(event["reason"] for event in refusals)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_ecg_is_refused_for_the_right_reason(hospital: Hospital, name: str) -> None:
    job = hospital.job(name)
    events = hospital.node.events("ecg refused by the quality gate")
    (event,) = [each for each in events if each["job_id"] == job["job_id"]]
    assert set(event["findings"].split(",")) >= REFUSED[name]
    (delivery,) = job["deliveries"]
    report = dcmread(io.BytesIO(hospital.instances[delivery["identifier"]]))
    assert read_measurements(report) == ()
    assert job["error_message"]


def test_orthanc_shows_every_series_in_the_study_of_the_ecg(hospital: Hospital) -> None:
    name = "mortara_eli250_1000hz.dcm"
    source = dcmread(next(file for file in hospital.files if file.name == name))
    studies = [hospital.pacs.get(f"/studies/{study}") for study in hospital.pacs.get("/studies")]
    (study,) = [
        each
        for each in studies
        if each["MainDicomTags"]["StudyInstanceUID"] == source.StudyInstanceUID
    ]
    series = [hospital.pacs.get(f"/series/{each}")["MainDicomTags"] for each in study["Series"]]
    assert sorted(tags["Modality"] for tags in series) == ["OT", "OT", "SR"]
    assert source.SeriesInstanceUID not in {tags["SeriesInstanceUID"] for tags in series}
    assert study["PatientMainDicomTags"]["PatientID"] == source.PatientID


def test_the_message_and_the_report_agree_on_every_number(hospital: Hospital) -> None:
    compared = 0
    for job in hospital.jobs.values():
        made = {each["kind"]: each["identifier"] for each in job["deliveries"]}
        if "oru" not in made:
            continue
        report = dcmread(io.BytesIO(hospital.instances[made["report"]]))
        message = hl7.parse(hospital.ris.received[made["oru"]].decode("utf-8"))
        numbers = [str(row[5]) for row in message.segments("OBX") if str(row[2]) == "NM"]
        reported = [text for number in read_measurements(report) for text in _as_sent(number)]
        assert sorted(numbers) == sorted(reported)
        compared += len(numbers)
    assert compared > 500


def _as_sent(number: ReportedNumber) -> list[str]:
    """The value and, where it has an interval, how far that reaches below and above it."""
    value = Decimal(number.value)
    bounds = [Decimal(bound) for bound in (number.lower, number.upper) if bound]
    return [number.value, *(f"{abs(value - bound):f}" for bound in bounds)]


def test_no_log_line_names_a_patient(hospital: Hospital) -> None:
    log = hospital.node.text()
    for file in hospital.files:
        dataset = dcmread(file)
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber"):
            value = str(dataset.get(keyword, "") or "")
            if len(value) > 4 and value.strip("0"):
                assert value not in log, f"{keyword} of {file.name}"
