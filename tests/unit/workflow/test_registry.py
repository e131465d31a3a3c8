"""What a RIS tells by HL7, and what becomes of the ECGs it is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom import Dataset

from node.dicom.part10 import read_part10
from node.domain.audit import Action
from node.domain.delivery import (
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    JobState,
    ResultKind,
)
from node.domain.errors import NotPossible, OutOfSpace
from node.workflow.identity import IdentityPolicy
from node.workflow.reconcile import OrderPolicy
from pipelines.contract import Pipeline
from tests.unit.workflow.test_identity import World, pipeline

__all__ = ["pipeline"]

PID = "PID|||{}^^^^MR\r"


@pytest.fixture
def world(pipeline: Pipeline) -> Iterator[World]:
    made = World(pipeline, IdentityPolicy())
    yield made
    made.work.close()


def message(event: str, *segments: str, control_id: str = "C1", rest: str = "") -> bytes:
    msh = f"MSH|^~\\&|RIS|H|CN|H|20261126080000||{event}|{control_id}|P|2.5.1{rest}\r"
    return (msh + "".join(segments)).encode()


def order(
    control: str = "NW", *, placer: str = "PL1", accession: str = "A1", patient: str = "A"
) -> bytes:
    request = "OBR|1|||93000^ECG^C4" + "|" * 14 + f"{accession}|RP1\r"
    return message(
        "ORM^O01", PID.format(patient), f"ORC|{control}|{placer}^RIS|FI1\r", request,
        control_id=f"{control}{placer}{accession}",
    )  # fmt: skip


def merge(prior: str, into: str, control_id: str = "M1") -> bytes:
    return message("ADT^A40", PID.format(into), f"MRG|{prior}\r", control_id=control_id)


def results(world: World, job_id: int) -> list[Delivery]:
    with world.work.begin() as transaction:
        return list(transaction.outbox.of_job(job_id))


def report(world: World, job_id: int) -> Dataset:
    """The last one."""
    made = [each for each in results(world, job_id) if each.kind is ResultKind.REPORT]
    return read_part10(world.spool.get(made[-1].content_digest))


def request(world: World, job_id: int) -> Dataset:
    found: Dataset = report(world, job_id).ReferencedRequestSequence[0]
    return found


def test_the_order_that_came_before_its_ecg_is_named_in_the_results(world: World) -> None:
    assert b"MSA|AA" in world.tell(order())
    assert world.answer(1, patient="A", AccessionNumber="A1").state is JobState.COMPLETED
    named = request(world, 1)
    assert named.PlacerOrderNumberImagingServiceRequest == "PL1"
    assert named.FillerOrderNumberImagingServiceRequest == "FI1"
    assert named.RequestedProcedureID == "RP1"
    assert named.RequestedProcedureCodeSequence[0].CodeValue == "93000"


def test_the_order_of_another_patient_holds_the_ecg(world: World) -> None:
    world.tell(order(patient="B"))
    job = world.answer(1, patient="A", AccessionNumber="A1")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")
    assert "another Patient ID" in (job.error_message or "")


def test_an_ecg_that_waits_for_its_order_goes_on_when_it_comes(world: World) -> None:
    world.processing = replace(world.processing, order_policy=OrderPolicy(holds_unmatched=True))
    assert world.answer(1, patient="A", AccessionNumber="A1").state is JobState.HELD
    world.tell(order(accession="A2", placer="PL2"))
    world.processing.process(1)
    assert world.job(1).state is JobState.HELD
    world.tell(order())
    assert world.job(1).state is JobState.RECEIVED
    assert world.notes.said("job processed again after a message")[-1]["job_id"] == 1
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    assert request(world, 1).PlacerOrderNumberImagingServiceRequest == "PL1"


def test_a_cancelled_order_holds_the_ecg_and_a_new_one_lets_it_go(world: World) -> None:
    world.tell(order())
    world.tell(message("ORM^O01", "ORC|CA|PL1^RIS\r", control_id="C2"))  # an ORC alone
    job = world.answer(1, patient="A", AccessionNumber="A1")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")
    assert "was cancelled" in (job.error_message or "")
    world.tell(order(placer="PL9"))
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    assert request(world, 1).PlacerOrderNumberImagingServiceRequest == "PL9"


def test_a_cancellation_of_another_order_changes_nothing(world: World) -> None:
    world.tell(order())
    world.tell(message("ORM^O01", "ORC|CA|PL1^OTHER\r", control_id="C2"))
    assert world.answer(1, patient="A", AccessionNumber="A1").state is JobState.COMPLETED


def test_a_changed_order_has_the_last_word(world: World) -> None:
    world.tell(order(accession="A7"))
    world.tell(order("XO"))
    assert world.answer(1, patient="A", AccessionNumber="A1").state is JobState.COMPLETED
    assert world.answer(2, patient="A", study="1.2.4", AccessionNumber="A7").state is (
        JobState.COMPLETED
    )
    assert request(world, 1).RequestedProcedureID == "RP1"
    assert not request(world, 2).RequestedProcedureCodeSequence


def test_a_merged_patient_is_the_one_who_stays_in_results_made_later(world: World) -> None:
    world.tell(message("ADT^A47", "PID|||B||DOE^JANE\r", "MRG|A\r"))
    assert world.answer(1, patient="A").state is JobState.COMPLETED
    made = report(world, 1)
    assert (made.PatientID, str(made.PatientName)) == ("B", "DOE^JANE")
    assert [each.PatientID for each in made.OtherPatientIDsSequence] == ["A"]


def test_merges_are_followed_and_a_circle_of_them_ends_where_the_last_one_says(
    world: World,
) -> None:
    world.tell(merge("A", "B", "M1"))
    world.tell(merge("B", "C", "M2"))
    world.tell(merge("C", "A", "M3"))
    for number, patient in enumerate("BC", start=1):
        world.answer(number, patient=patient, study=f"1.2.{number}")
        assert report(world, number).PatientID == "A"
    world.answer(3, patient="A", study="1.2.9")
    assert report(world, 3).PatientID == "A"
    assert "OtherPatientIDsSequence" not in report(world, 3)


def test_the_order_of_a_patient_who_was_merged_is_that_of_the_one_who_stays(
    world: World,
) -> None:
    world.tell(order(patient="A"))
    world.tell(merge("A", "B"))
    for number, patient in enumerate("AB", start=1):
        job = world.answer(number, patient=patient, study=f"1.2.{number}", AccessionNumber="A1")
        assert job.state is JobState.COMPLETED
        assert request(world, number).PlacerOrderNumberImagingServiceRequest == "PL1"


def test_a_merge_renews_what_is_not_sent_and_leaves_what_is(world: World) -> None:
    world.answer(1, patient="A")
    world.answer(2, patient="A", study="1.2.4")
    with world.work.begin() as transaction:
        for each in transaction.outbox.of_job(2):
            transaction.outbox.cancel(each.delivery_id, at=world.clock())  # nothing is owed
    before = len(results(world, 1))
    world.tell(merge("A", "B"))
    assert (world.job(1).state, world.job(2).state) == (JobState.RECEIVED, JobState.COMPLETED)
    assert {each.state for each in results(world, 1)} == {DeliveryState.CANCELLED}
    world.processing.process(1)
    renewed = results(world, 1)[before:]
    assert {each.state for each in renewed} == {DeliveryState.PENDING}
    made = report(world, 1)
    assert made.PatientID == "B"
    # Nothing was sent: nobody has what it would be a correction of.
    assert "CORRECTION" not in made.SeriesDescription.upper()
    assert "PredecessorDocumentsSequence" not in made


def test_a_merge_while_the_model_answers_is_not_missed(world: World, pipeline: Pipeline) -> None:
    def merged_meanwhile(called_ae: str) -> Pipeline:
        world.tell(merge("A", "B"))
        return pipeline

    world.take(1, patient="A")
    world.processing = replace(world.processing, pipeline_for=merged_meanwhile)
    world.processing.process(1)
    assert world.job(1).state is JobState.RECEIVED
    assert results(world, 1) == []
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    assert report(world, 1).PatientID == "B"


def test_an_ecg_under_the_number_of_somebody_else_is_held_until_that_is_put_right(
    world: World,
) -> None:
    world.tell(message("ADT^A01", "PID|||A||ROE^RICHARD||19500101|M\r"))
    job = world.answer(1, patient="A", PatientSex="F", PatientBirthDate="19700102")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-patient")
    assert "another birth date for this Patient ID" in (job.error_message or "")
    world.tell(message("ADT^A08", "PID|||A||||19700102|F\r", control_id="C2"))
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED


def test_the_number_of_another_authority_is_another_number(world: World) -> None:
    world.tell(message("ADT^A40", "PID|||B^^^NORTH^MR\r", "MRG|A^^^NORTH^MR\r"))
    world.answer(1, patient="A", IssuerOfPatientID="SOUTH")
    assert report(world, 1).PatientID == "A"


def test_what_cannot_be_used_is_kept_refused_and_taken_when_it_can(world: World) -> None:
    unusable = message("ORM^O01", "ORC|NW\r", "OBR|1\r")
    for _ in range(2):
        answer = world.tell(unusable)
        assert b"MSA|AE|C1" in answer and b"101^" in answer
    assert unusable in world.spool.kept.values()
    with world.work.begin() as transaction:
        (listed,) = transaction.messages.latest(limit=9)
    assert "number of the order" in (listed.error_message or "")
    latin = message("ADT^A40", "PID|||B||M\xfcller\r", "MRG|A\r", control_id="C2")
    assert b"MSA|AE|C2" in world.tell(latin.decode().encode("iso8859-1"))
    world.hl7_is_written_in("8859/1")
    assert b"MSA|AA|C2" in world.tell(latin.decode().encode("iso8859-1"))
    world.answer(1, patient="A")
    assert str(report(world, 1).PatientName) == "Müller"


def test_a_person_replays_what_can_be_used_since(world: World) -> None:
    world.tell(message("ADT^A08", "PID|||A||||19700101|F\r"))
    assert world.answer(1, patient="A", PatientBirthDate="19700102").state is JobState.HELD
    latin = message("ADT^A08", "PID|||A||M\xfcller||19700102|F\r", control_id="C2")
    world.tell(latin.decode().encode("iso8859-1"))
    with pytest.raises(NotPossible, match="message 2 cannot be used yet: "):
        world.replay(2)
    world.hl7_is_written_in("8859/1")
    said = "message 2 is used; jobs processed again: 1"
    assert world.replay(2) == said
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    with world.work.begin() as transaction:
        assert transaction.messages.unused() == []
        (noted,) = transaction.audit.latest(limit=9)
    assert (noted.action, noted.said) == (Action.REPLAYED, said)
    with pytest.raises(NotPossible, match="message 2 was used"):
        world.replay(2)
    with pytest.raises(NotPossible, match="no message 7"):
        world.replay(7)


def test_what_a_later_message_has_overtaken_is_not_replayed(world: World) -> None:
    latin = message("ADT^A08", "PID|||A||M\xfcller\r")
    world.tell(latin.decode().encode("iso8859-1"))
    world.tell(order().replace(b"\rORC", b"||M\xfcller\rORC"))
    world.tell(message("ADT^A08", "PID|||A||Miller\r", control_id="C3"))
    world.tell(order("CA"))
    world.hl7_is_written_in("8859/1")
    with world.work.begin() as transaction:
        unused = transaction.messages.unused()
    assert len(unused) == 2
    for number in unused:
        with pytest.raises(NotPossible, match=f"message {number} is overtaken"):
            world.replay(number)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (message("SIU^S12"), b"AR|C1\rERR|||200^"),
        (message("ADT^A03", PID.format("A")), b"AR|C1\rERR|||201^"),
        (order().replace(b"|P|2.5.1", b"|T|2.5.1"), b"AR|NWPL1A1\rERR|||202^"),
        (message("ADT^A01", control_id="C" * 200), b"ERR|||102^"),
    ],
)
def test_what_is_not_meant_is_refused_and_told_and_not_kept(
    world: World, content: bytes, answer: bytes
) -> None:
    assert answer in world.tell(content)
    assert world.spool.kept == {}
    assert world.notes.said("message refused")[0]["peer"] == "192.0.2.9"


def test_a_message_told_twice_is_noted_once(world: World) -> None:
    world.tell(merge("A", "B", "M1"))
    world.tell(merge("B", "A", "M2"))
    world.tell(merge("A", "B", "M1"))  # its first acknowledgement was lost
    world.answer(1, patient="B")
    assert report(world, 1).PatientID == "A"


def test_a_message_is_kept_before_it_is_acknowledged_and_kept_once(world: World) -> None:
    told = message("ADT^A01", PID.format("A"))
    for _ in range(2):
        assert b"MSA|AA|C1" in world.tell(told)
    assert list(world.spool.kept.values()) == [told]
    assert len(world.notes.said("message kept")) == 1
    assert len(world.notes.said("message received again")) == 1
    world.spool.error = OutOfSpace("full")
    assert b"MSA|AE|C2" in world.tell(message("ADT^A01", PID.format("A"), control_id="C2"))


TOLD = "a message contradicts results that were made"


def test_an_order_that_comes_after_the_results_is_told_or_has_them_corrected(
    world: World,
) -> None:
    world.answer(1, patient="A", AccessionNumber="A1")
    world.tell(order())
    assert world.job(1).state is JobState.COMPLETED
    (told,) = world.notes.said(TOLD)
    assert told["job_id"] == 1 and "jobs correct" in told["reason"]
    world.correct_late()
    world.tell(order("XO"))
    assert (world.job(1).state, world.job(1).revision) == (JobState.RECEIVED, 2)
    world.processing.process(1)
    assert request(world, 1).PlacerOrderNumberImagingServiceRequest == "PL1"
    world.tell(order("SC"))  # the order is as it was
    assert world.job(1).state is JobState.COMPLETED
    assert len(world.notes.said(TOLD)) == 1


@pytest.mark.parametrize(
    ("late", "reason"),
    [(order(patient="B"), "another Patient ID"), (order("CA"), "was cancelled")],
)
def test_a_contradiction_that_comes_after_the_results_is_told_and_changes_nothing(
    world: World, late: bytes, reason: str
) -> None:
    world.correct_late()
    world.answer(1, patient="A", AccessionNumber="A1")
    world.tell(late)
    assert world.job(1).state is JobState.COMPLETED
    (told,) = world.notes.said(TOLD)
    assert reason in told["reason"]


def test_an_order_that_comes_while_the_model_answers_is_not_missed(
    world: World, pipeline: Pipeline
) -> None:
    def ordered_meanwhile(called_ae: str) -> Pipeline:
        world.tell(order())
        return pipeline

    world.take(1, patient="A", AccessionNumber="A1")
    world.processing = replace(world.processing, pipeline_for=ordered_meanwhile)
    world.processing.process(1)
    assert world.job(1).state is JobState.RECEIVED
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    assert request(world, 1).PlacerOrderNumberImagingServiceRequest == "PL1"


REPEATED = "OBR|1|PL1^RIS|FI1|93000^ECG^C4\r"
"""Of an order, without what ECGs are matched by."""


@pytest.mark.parametrize(
    "cancels",
    [
        ("ORC|CA|PL1^RIS|FI1\r", REPEATED),
        ("ORC|CA|PL1|FI1\r",),
        ("ORC|CA||FI1\r",),
        ("ORC|SR|PL1^RIS|FI1||CA\r", REPEATED),
    ],
)
def test_a_cancellation_is_heard_before_the_results_and_told_after_them(
    world: World, cancels: tuple[str, ...]
) -> None:
    world.tell(order())
    assert world.answer(1, patient="A", AccessionNumber="A1").state is JobState.COMPLETED
    world.tell(message("ORM^O01", *cancels, control_id="C2"))
    (told,) = world.notes.said(TOLD)
    assert told["job_id"] == 1 and "was cancelled" in told["reason"]
    world.tell(message("ORM^O01", "ORC|SC|PL1^RIS|FI1||IP\r", REPEATED, control_id="C3"))
    job = world.answer(2, patient="A", study="1.2.4", AccessionNumber="A1")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")


def test_what_a_later_message_leaves_out_of_an_order_stays(world: World) -> None:
    zds = "ZDS|1.2.3^RIS^Application^DICOM\r"
    world.tell(message("ORM^O01", "ORC|NW|PL1^RIS|FI1\r", REPEATED, zds))
    world.tell(message("ORM^O01", "ORC|SC|PL1^RIS|FI1||IP\r", REPEATED, control_id="C2"))
    world.answer(1, patient="A")
    assert request(world, 1).PlacerOrderNumberImagingServiceRequest == "PL1"


def test_an_order_that_moves_to_another_accession_number_is_told_to_the_one_it_leaves(
    world: World,
) -> None:
    world.tell(order())
    world.answer(1, patient="A", AccessionNumber="A1")
    world.tell(order("XO", accession="A7"))
    assert [told["job_id"] for told in world.notes.said(TOLD)] == []  # nothing contradicts it
    assert world.answer(2, patient="A", study="1.2.4", AccessionNumber="A7").state is (
        JobState.COMPLETED
    )


@pytest.mark.parametrize(("issuer", "stays"), [("NORTH", "A"), ("SOUTH", "B"), ("", "B")])
def test_a_merge_is_of_the_identifier_that_its_authority_gave(
    world: World, issuer: str, stays: str
) -> None:
    world.tell(message("ADT^A40", "PID|||B^^^NORTH^MR\r", "MRG|A^^^SOUTH^MR\r"))
    world.answer(1, patient="A", IssuerOfPatientID=issuer)
    assert report(world, 1).PatientID == stays


def test_an_order_that_comes_while_the_job_is_held_for_it_is_not_missed(world: World) -> None:
    class Slow:
        def find(self, study: object) -> list[object]:
            world.tell(order())
            return []

    world.processing = replace(
        world.processing, order_policy=OrderPolicy(holds_unmatched=True), orders=Slow()
    )
    world.take(1, patient="A", AccessionNumber="A1")
    world.processing.process(1)
    assert world.job(1).state is JobState.RECEIVED
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED


def test_an_ecg_that_waits_is_found_by_its_accession_number_alone(world: World) -> None:
    world.processing = replace(world.processing, order_policy=OrderPolicy(holds_unmatched=True))
    world.answer(1, patient="", AccessionNumber="A1")
    world.person.release(1)
    world.processing.process(1)
    assert world.job(1).error_code == "uncertain-order"
    world.tell(message("ORM^O01", "ORC|NW|PL1\r", "OBR|1" + "|" * 17 + "A1\r"))
    assert world.job(1).state is JobState.RECEIVED


def test_a_merge_reaches_what_was_refused_and_what_was_not_made(world: World) -> None:
    world.answer(1, patient="A")
    with world.work.begin() as transaction:
        for each in transaction.outbox.of_job(1):
            transaction.outbox.begin_attempt(each.delivery_id)
            refused = DeliveryOutcome(state=DeliveryState.REFUSED, error_code="refused")
            at = world.clock()
            transaction.outbox.settle(each.delivery_id, refused, started_at=at, at=at)
    world.tell(merge("A", "B"))
    assert world.job(1).state is JobState.RECEIVED
    world.processing.process(1)
    assert report(world, 1).PatientID == "B"


def test_an_ecg_beside_one_of_the_patient_who_was_merged_is_not_another_patients(
    world: World,
) -> None:
    world.answer(1, patient="A")
    world.tell(merge("A", "B"))
    world.processing.process(1)
    for number, patient in enumerate("AB", start=2):
        assert world.answer(number, patient=patient).state is JobState.COMPLETED


def test_progress_of_an_order_does_not_start_its_ecg_over(world: World, pipeline: Pipeline) -> None:
    world.tell(order())

    def in_progress(called_ae: str) -> Pipeline:
        world.tell(order("SC"))
        return pipeline

    world.take(1, patient="A", AccessionNumber="A1")
    world.processing = replace(world.processing, pipeline_for=in_progress)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
