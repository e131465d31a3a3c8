"""Objects that are no ECG or no DICOM: the right status, a clear log line, the node goes on."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE

from node.dicom import dimse
from tests.ecg_instances import instances
from tests.end_to_end.node_process import NodeProcess, settled

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("node"))
    process.start()
    yield process
    process.close()


def store(
    node: NodeProcess, content: bytes, *, uid: str = "1.2.3.4", syntax: str = EXPLICIT
) -> int:
    """Send raw bytes as the data set of a 12-lead ECG; the status, or -1 without an answer."""
    ae = AE(ae_title="CART")
    ae.add_requested_context(dimse.TWELVE_LEAD_ECG, syntax)
    association = ae.associate("127.0.0.1", node.dicom_port, ae_title="CARDIONODE")
    assert association.is_established
    # As send_c_store does: else the association's own loop may take the answer.
    association._reactor_checkpoint.clear()
    while not association._is_paused:
        time.sleep(0.001)
    request = C_STORE()
    request.MessageID = 1
    request.AffectedSOPClassUID = dimse.TWELVE_LEAD_ECG
    request.AffectedSOPInstanceUID = uid
    request.Priority = 2
    request.DataSet = BytesIO(content)
    association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
    _, answer = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    association.release()
    return -1 if answer is None else int(answer.Status)


def dataset_bytes(file: bytes) -> bytes:
    """A PS3.10 file without preamble and file meta: (0002,0000) says how long the meta is."""
    length = int.from_bytes(file[140:144], "little")
    return file[144 + length :]


def test_garbage_is_not_understood(node: NodeProcess) -> None:
    encrypted = random.Random(7).randbytes(200_000)
    assert store(node, encrypted) == dimse.CANNOT_UNDERSTAND
    assert store(node, b"\x89PNG\r\n\x1a\n" + bytes(1000)) == dimse.CANNOT_UNDERSTAND


def test_an_empty_data_set_is_not_understood(node: NodeProcess) -> None:
    assert store(node, b"\x00\x00") == dimse.CANNOT_UNDERSTAND


def test_an_ecg_cut_short_is_refused_while_the_sender_still_has_it(node: NodeProcess) -> None:
    uid, file = next(instances(1, start=500))
    whole = dataset_bytes(file)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert store(node, whole[: int(len(whole) * share)], uid=uid) == dimse.CANNOT_UNDERSTAND
    assert store(node, whole, uid=uid) == dimse.SUCCESS


def test_an_instance_that_is_not_the_one_announced_is_refused(node: NodeProcess) -> None:
    _, file = next(instances(1, start=510))
    assert store(node, dataset_bytes(file), uid="1.2.3.99") == dimse.CANNOT_UNDERSTAND


def test_an_object_of_the_ecg_class_without_an_ecg_is_kept_and_waits_for_a_person(
    node: NodeProcess,
) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = dimse.TWELVE_LEAD_ECG, "1.2.3.77"
    content = BytesIO()
    dataset.save_as(content, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert store(node, content.getvalue(), uid="1.2.3.77", syntax=IMPLICIT) == dimse.SUCCESS
    jobs = node.wait_for_jobs(
        lambda jobs: all(job["state"] != "received" for job in jobs), within_s=20
    )
    (job,) = [job for job in jobs if job["sop_instance_uid"] == "1.2.3.77"]
    assert job["state"] == "failed"
    assert job["error_message"]


def test_every_malformed_object_gets_an_answer_and_the_node_goes_on(
    node: NodeProcess, shared: Path
) -> None:
    files = sorted((shared / "data/malformed").rglob("*.dcm"))
    assert len(files) > 50
    for file in files:
        content = file.read_bytes()
        for raw in (content, dataset_bytes(content)) if content[128:132] == b"DICM" else (content,):
            for syntax in (EXPLICIT, IMPLICIT):
                status = store(node, raw or b"\x00\x00", syntax=syntax)
                assert status in (dimse.CANNOT_UNDERSTAND, dimse.SUCCESS), file.name
    uid, file_bytes = next(instances(1, start=520))
    assert store(node, dataset_bytes(file_bytes), uid=uid) == dimse.SUCCESS


def test_the_same_instance_twice_is_one_job_and_another_content_is_kept_aside(
    node: NodeProcess,
) -> None:
    uid, file = next(instances(1, start=530))
    content = dataset_bytes(file)
    assert store(node, content, uid=uid) == dimse.SUCCESS
    assert store(node, content, uid=uid) == dimse.SUCCESS
    other = content.replace(b"TEST-00530", b"TEST-99999")
    assert other != content
    assert store(node, other, uid=uid) == dimse.SUCCESS
    jobs = node.wait_for_jobs(
        lambda jobs: all(job["state"] != "received" for job in jobs), within_s=20
    )
    states = [job["state"] for job in jobs if job["sop_instance_uid"] == uid]
    assert states == ["completed", "conflict"]


def test_what_was_acknowledged_is_all_there_and_no_line_names_a_patient(node: NodeProcess) -> None:
    count = len(node.jobs())
    assert settled(count)(node.jobs())
    assert not node.events("instance refused")[0].get("traceback")
    for event in node.events("instance refused"):
        assert event["error_code"] in ("malformed-instance", "unsupported-instance"), event
        assert event["reason"]
    for words in ("Doe", "TEST-00530", "ACC00530"):
        assert words not in node.text()
