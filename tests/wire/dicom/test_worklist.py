"""Asking a worklist, of pynetdicom and of DCMTK: what is asked, what is read, what may go wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pydicom import Dataset

from node.dicom.scu import StorageScu
from node.dicom.study import read_study
from node.dicom.worklist import MOST_ITEMS, WorklistScu
from node.domain.code import Code
from node.domain.errors import CardioNodeError, Refused, TemporarilyRefused, Unanswered, Unreachable
from node.domain.order import AskBy, Order, ScheduledOrder
from node.domain.study import Patient, Study
from tests.ecg_instances import mortara
from tests.worklist_peers import Answer, RisStandIn, wlmscpfs, worklist_item

ECG = replace(
    read_study(mortara()),
    accession_number="ACC-1",
    study_instance_uid="1.2.3",
    patient=Patient(patient_id="PID-1"),
)
JANE = Patient(patient_id="PID-1", name="Doe^Jane", birth_date=date(1970, 1, 1), sex="F")
FOUND = ScheduledOrder(
    order=Order(
        placer_order_number="PLACER-1",
        filler_order_number="FILLER-1",
        accession_number="ACC-1",
        requested_procedure_id="RP-1",
        procedure_text="Resting ECG",
    ),
    patient=JANE,
    study_instance_uid="1.2.3",
)


def scu(port: int) -> StorageScu:
    return StorageScu(
        calling_ae="CARDIONODE",
        called_ae="RIS",
        host="127.0.0.1",
        port=port,
        connect_timeout_s=2.0,
        answer_timeout_s=2.0,
    )


@contextmanager
def ris(*answers: Answer, offers: bool = True) -> Iterator[tuple[RisStandIn, int]]:
    made = RisStandIn(answers, offers=offers)
    try:
        yield made, made.start()
    finally:
        made.stop()


def find(port: int, study: Study = ECG, ask_by: AskBy = AskBy.ACCESSION_NUMBER) -> object:
    return WorklistScu(scu(port), ask_by).find(study)


def test_an_order_is_read_whole() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "29303009", "SCT", "ECG"
    item = worklist_item(RequestedProcedureCodeSequence=[code], IssuerOfPatientID="HERE")
    with ris((0xFF00, item)) as (_, port):
        (found,) = WorklistScu(scu(port)).find(ECG)
    order = replace(FOUND.order, procedure=Code(value="29303009", scheme="SCT", meaning="ECG"))
    assert found == replace(FOUND, order=order, patient=replace(JANE, issuer_of_patient_id="HERE"))
    for value in ("PID-1", "Doe", "ACC-1", "1970"):
        assert value not in repr(found)


@pytest.mark.parametrize(
    ("ask_by", "accession", "patient_id", "asked"),
    [
        (AskBy.ACCESSION_NUMBER, "A", "P", ("A", "")),
        (AskBy.ACCESSION_NUMBER, "", "P", ("", "P")),
        (AskBy.PATIENT_ID, "A", "P", ("", "P")),
        (AskBy.PATIENT_ID, "A", "", ("A", "")),
        (AskBy.ACCESSION_NUMBER, "A*", "P", ("", "P")),
        (AskBy.PATIENT_ID, "", "Ä1", ("", "Ä1")),
    ],
)
def test_one_key_is_asked_by_and_never_a_pattern(
    ask_by: AskBy, accession: str, patient_id: str, asked: tuple[str, str]
) -> None:
    study = replace(ECG, accession_number=accession, patient=Patient(patient_id=patient_id))
    with ris() as (peer, port):
        assert find(port, study, ask_by) == ()
    (query,) = peer.asked
    assert (query.AccessionNumber, query.PatientID) == asked
    assert query.StudyInstanceUID == "" and "RequestedProcedureID" in query
    assert query.ScheduledProcedureStepSequence[0].Modality == ""


@pytest.mark.parametrize(("accession", "patient_id"), [("", ""), ("*", "?"), ("A\\B", "")])
def test_who_has_nothing_to_ask_by_asks_nobody(accession: str, patient_id: str) -> None:
    study = replace(ECG, accession_number=accession, patient=Patient(patient_id=patient_id))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = int(closed.getsockname()[1])
    assert find(port, study) == ()


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (0xA700, TemporarilyRefused, "out of resources"),
        (0x0124, Refused, "does not authorise"),
        (0xA900, Refused, "could not answer"),
        (0xC001, Refused, "could not answer"),
        (0xFE00, Refused, "could not answer"),
    ],
)
def test_a_status_that_is_none_of_success_says_what_to_do(
    status: int, error: type[CardioNodeError], words: str
) -> None:
    for before in ([], [(0xFF01, worklist_item())]):
        with ris(*before, (status, None)) as (_, port), pytest.raises(error, match=words):
            find(port)


def test_a_ris_that_matches_by_nothing_is_told_of() -> None:
    many = [(0xFF00, worklist_item())] * (MOST_ITEMS + 1)
    with ris(*many) as (_, port), pytest.raises(Refused, match=r"worklist\.ask_by"):
        find(port)


def test_a_ris_that_hangs_up_has_not_answered() -> None:
    with ris() as (peer, port):
        peer.hangs_up = True
        with pytest.raises(Unanswered):
            find(port)


def test_an_item_that_cannot_be_read_is_refused() -> None:
    item = worklist_item()
    item.add_new(0x00080050, "SQ", [Dataset()])
    with ris((0xFF00, item)) as (_, port), pytest.raises(Refused, match="cannot be read"):
        find(port)


def test_whether_a_worklist_is_there_can_be_tried() -> None:
    with ris() as (peer, port):
        assert WorklistScu(scu(port)).probe() == f"RIS at 127.0.0.1:{port}"
    assert not peer.asked
    with ris(offers=False) as (_, port), pytest.raises(Refused, match="enable it there"):
        WorklistScu(scu(port)).probe()
    with pytest.raises(Unreachable):
        WorklistScu(scu(port)).probe()


def test_what_may_not_stand_in_a_result_is_not_read() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "", "ECG"
    long, several = worklist_item(), worklist_item(RequestedProcedureID=["RP-1", "RP-2"])
    long.PlacerOrderNumberImagingServiceRequest = "P" * 65
    long.RequestedProcedureCodeSequence = [code]
    with ris((0xFF00, long), (0xFF00, several)) as (_, port):
        first, second = WorklistScu(scu(port)).find(ECG)
    assert first.order.placer_order_number == "" and first.order.procedure is None
    assert second.order.requested_procedure_id == ""


@pytest.mark.parametrize("ask_by", list(AskBy))
def test_dcmtk_gives_the_order_of_the_ecg_among_others(tmp_path: Path, ask_by: AskBy) -> None:
    others = [
        worklist_item(AccessionNumber=f"ACC-{n}", PatientID=f"PID-{n}", StudyInstanceUID=f"1.{n}")
        for n in (2, 3, 11)
    ]
    with wlmscpfs(tmp_path, *others, worklist_item()) as port:
        WorklistScu(scu(port)).probe()
        assert find(port, ask_by=ask_by) == (FOUND,)
        assert find(port, replace(ECG, accession_number="NONE")) == ()
