"""A withdrawal: whoever may have a result is told that it must not be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset

from node.dicom import dimse
from node.dicom.part10 import read_part10
from node.dicom.template import load_templates
from node.domain.delivery import DeliveryOutcome, DeliveryState, JobState, ResultKind
from node.domain.errors import NotPossible
from node.domain.form import ResultForm, StudyForm
from node.domain.wording import WITHDRAWN
from node.workflow.withdraw import Withdrawal
from pipelines.contract import Pipeline
from tests.fakes import SOMEBODY
from tests.judges import complaints, complaints_of_pixelmed
from tests.unit.workflow.test_correct import Site
from tests.unit.workflow.test_identity import pipeline

__all__ = ["pipeline"]


@pytest.fixture
def site(pipeline: Pipeline) -> Iterator[Site]:
    made = Site(pipeline)
    made.answer(1, patient="A")
    yield made
    made.work.close()


def withdraw(site: Site) -> str:
    return Withdrawal(
        by=SOMEBODY,
        work=site.work,
        spool=site.processing.spool,
        templates=load_templates(),
        telemetry=site.notes,
        clock=site.clock,
    ).withdraw(1)


def note(site: Site, revision: int, destination: str) -> Dataset:
    delivery = site.made(revision)[ResultKind.REJECTION, destination]
    return read_part10(site.processing.spool.get(delivery.content_digest))


def rejected(note: Dataset) -> set[str]:
    """Of its content; the evidence has to name the same."""
    content = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in note.ContentSequence
        if item.ValueType in ("IMAGE", "COMPOSITE")
    }
    evidence = {
        instance.ReferencedSOPInstanceUID
        for study in note.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert content == evidence
    return content


def sent(site: Site, revision: int, destination: str) -> set[str]:
    return {
        each.identifier for (_, name), each in site.made(revision).items() if name == destination
    }


def test_each_archive_is_told_of_all_it_has_in_all_revisions(site: Site) -> None:
    site.arrive(1)
    site.correct()
    site.arrive(2)
    withdraw(site)
    assert site.job(1).state is JobState.WITHDRAWN
    for name in ("PACS", "OTHER"):
        made = note(site, 3, name)
        assert rejected(made) == sent(site, 1, name) | sent(site, 2, name)
        (title,) = made.ConceptNameCodeSequence
        assert (title.CodeValue, title.CodingSchemeDesignator) == ("113037", "DCM")
        assert (made.Modality, made.PatientID) == ("KO", "A")
        assert made.StudyInstanceUID == site.report(1, name).StudyInstanceUID
    assert {each.state for each in site.made(3).values()} == {DeliveryState.PENDING}


def test_a_note_is_what_the_standard_asks_for(site: Site, tmp_path: Path) -> None:
    site.arrive(1)
    withdraw(site)
    delivery = site.made(2)[ResultKind.REJECTION, "PACS"]
    assert delivery.sop_class_uid == dimse.KEY_OBJECT_SELECTION
    file = tmp_path / "note.dcm"
    file.write_bytes(site.processing.spool.get(delivery.content_digest))
    assert complaints(file) == []
    assert complaints_of_pixelmed(file) == []


def test_the_ris_hears_that_all_results_are_wrong_under_the_same_numbers(site: Site) -> None:
    site.arrive(1)
    withdraw(site)
    before, after = site.message(1), site.message(2)
    assert after[0][9] != before[0][9]
    for name in ("PID", "PV1", "ORC"):
        assert [s for s in before if s[0] == name] == [s for s in after if s[0] == name]
    (obr,), (obr_before,) = ([s for s in each if s[0] == "OBR"] for each in (after, before))
    assert obr[25] == "X"
    assert obr[:25] == obr_before[:25]
    observed = [s for s in after if s[0] == "OBX"]
    assert {s[11] for s in observed if s[2] == "NM"} == {"W"}
    assert {s[11] for s in observed if s[2] == "ST"} <= {"O", "W"}
    first, *others = [s for s in observed if s[2] == "TX"]
    assert (first[5], first[11]) == (WITHDRAWN, "W")
    # A RIS that keeps each line under its number keeps none of them.
    assert {(s[5], s[11]) for s in others} == {('""', "W")}
    assert [s[4] for s in observed] == [s[4] for s in before if s[0] == "OBX"]
    assert [s[3:6] for s in observed if s[2] == "NM"] == [
        s[3:6] for s in before if s[0] == "OBX" and s[2] == "NM"
    ]


def test_the_last_message_is_the_one_that_is_taken_back(site: Site) -> None:
    site.arrive(1)
    site.correct()
    site.arrive(2)
    withdraw(site)
    assert len([each for each in site.made(3).values() if each.kind is ResultKind.ORU]) == 1
    numbers = [s for s in site.message(3) if s[0] == "OBX" and s[2] == "NM"]
    assert [s[5] for s in numbers] == [
        s[5] for s in site.message(2) if s[0] == "OBX" and s[2] == "NM"
    ]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_what_is_being_sent_is_taken_back_and_what_never_left_is_stopped(
    site: Site, is_cancelled: bool
) -> None:
    """Also where a person was faster: the attempt goes on."""
    under_way = site.made(1)[ResultKind.CINE, "PACS"]
    with site.work.begin() as transaction:
        assert transaction.outbox.begin_attempt(under_way.delivery_id)
    if is_cancelled:
        site.person.cancel(1)
    withdraw(site)
    assert rejected(note(site, 2, "PACS")) == {under_way.identifier}
    assert site.made(2).keys() == {(ResultKind.REJECTION, "PACS")}
    assert {each.state for each in site.made(1).values()} == {DeliveryState.CANCELLED}
    with site.work.begin() as transaction:
        assert not transaction.outbox.begin_attempt(under_way.delivery_id)


def test_what_only_may_be_there_has_a_note_of_its_own(site: Site) -> None:
    """An archive that has it not may refuse the whole note."""
    site.goes_to("PACS")
    lost = site.made(1)[ResultKind.REPORT, "PACS"]
    at = site.clock()
    with site.work.begin() as transaction:
        outcome = DeliveryOutcome(state=DeliveryState.PENDING, error_code="unanswered")
        transaction.outbox.settle(lost.delivery_id, outcome, started_at=at, at=at)
        for each in site.made(1).values():
            if each.delivery_id != lost.delivery_id:
                outcome = DeliveryOutcome(state=DeliveryState.DELIVERED)
                transaction.outbox.settle(each.delivery_id, outcome, started_at=at, at=at)
    withdraw(site)
    with site.work.begin() as transaction:
        told = [each for each in transaction.outbox.of_job(1) if each.revision == 2]
    notes = [
        rejected(read_part10(site.processing.spool.get(each.content_digest)))
        for each in told
        if (each.kind, each.destination) == (ResultKind.REJECTION, "PACS")
    ]
    assert sorted(notes, key=len) == [
        {lost.identifier},
        sent(site, 1, "PACS") - {lost.identifier},
    ]


def test_what_awaits_its_commitment_is_not_asked_for_any_more(site: Site) -> None:
    """A PACS that has hidden it would say that it has it not, and be sent it again."""
    site.arrive(1, DeliveryState.STORED)
    withdraw(site)
    assert {each.state for each in site.made(1).values()} == {DeliveryState.CANCELLED}


def test_each_number_that_a_ris_knows_is_taken_back(site: Site) -> None:
    """The order came after the answer: the correction is under the order's number."""
    site.arrive(1)
    site.orders("F9")
    site.correct()
    site.arrive(2)
    withdraw(site)
    numbers = [(s[3], s[25]) for message in site.messages(3) for s in message if s[0] == "OBR"]
    assert numbers == [("F9", "X")]


@pytest.mark.parametrize("error_code", ["unreachable", "refused"])
def test_where_nothing_arrived_there_is_nothing_to_withdraw(site: Site, error_code: str) -> None:
    site.arrive(1, DeliveryState.EXHAUSTED, error_code)
    with pytest.raises(NotPossible, match="nothing of job 1 was sent"):
        withdraw(site)
    assert site.job(1).state is JobState.COMPLETED
    assert site.made(2) == {}


def test_results_in_a_study_of_their_own_are_rejected_there(site: Site) -> None:
    site.goes_to("PACS")
    site.arrive(1)
    site.in_form("PACS", ResultForm(study=StudyForm.NEW))
    site.correct()
    site.arrive(2)
    withdraw(site)
    with site.work.begin() as transaction:
        told = [each for each in transaction.outbox.of_job(1) if each.revision == 3]
    made = [
        each for each in told if (each.kind, each.destination) == (ResultKind.REJECTION, "PACS")
    ]
    notes = [read_part10(site.processing.spool.get(each.content_digest)) for each in made]
    assert [(each.StudyInstanceUID, rejected(each)) for each in notes] == [
        (site.report(revision, "PACS").StudyInstanceUID, sent(site, revision, "PACS"))
        for revision in (1, 2)
    ]
    assert notes[0].StudyInstanceUID != notes[1].StudyInstanceUID


def test_a_withdrawal_is_for_good_and_its_notes_are_tried_again(site: Site) -> None:
    site.arrive(1)
    withdraw(site)
    with pytest.raises(NotPossible, match="withdrawn"):
        withdraw(site)
    with pytest.raises(NotPossible, match="withdrawn"):
        site.person.correct(1)
    site.arrive(2, DeliveryState.EXHAUSTED, "unreachable")
    site.person.retry(1)
    assert {each.state for each in site.made(2).values()} == {DeliveryState.PENDING}
    assert {each.state for each in site.made(1).values()} == {DeliveryState.DELIVERED}
    assert site.job(1).state is JobState.WITHDRAWN


def test_a_correction_under_way_is_cancelled_first(site: Site) -> None:
    site.arrive(1)
    site.person.correct(1)
    with pytest.raises(NotPossible, match="received"):
        withdraw(site)
    site.person.cancel(1)
    withdraw(site)
    assert rejected(note(site, 3, "PACS")) == sent(site, 1, "PACS")


def test_one_that_was_withdrawn_says_nothing_about_the_patient_of_a_study(site: Site) -> None:
    site.arrive(1)
    withdraw(site)
    assert site.answer(2, patient="B").state is JobState.COMPLETED
