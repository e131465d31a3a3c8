"""Taking over: bytes first, then the row with its work, then the success; each instance once."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.dicom.attribute_path import parse_attribute_path
from node.dicom.part10 import read_dataset
from node.domain.delivery import Delivery, DestinationKind, JobState, Priority, ResultKind
from node.domain.errors import MalformedInstance, OutOfSpace
from node.domain.instance import Origin
from node.store.received import Job
from node.workflow.intake import Intake
from node.workflow.route import Destination, Routing, RoutingRule
from tests.ecg_instances import mortara
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes

ORIGIN = Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1")
PACS = Destination(name="PACS", kind=DestinationKind.DICOM, ae_title="PACS", host="127.0.0.1")
RIS = Destination(name="RIS", kind=DestinationKind.HL7, host="127.0.0.1")
STAT = RoutingRule(
    name="stat",
    attributes=((parse_attribute_path("InstitutionalDepartmentName"), "ED*"),),
    priority=Priority.STAT,
)
LOW = RoutingRule(name="low", calling_ae="RESEARCH", priority=Priority.LOW)
KEEPING = RoutingRule(
    name="keep", results=frozenset({ResultKind.ECG}), destinations=("PACS", "RIS")
)


class World:
    def __init__(self) -> None:
        self.spool, self.work, self.notes = MemorySpool(), MemoryUnitOfWork(), Notes()
        self.route()

    def route(self, *rules: RoutingRule) -> None:
        """Go on with these rules, which may name PACS and RIS."""
        self.intake = Intake(
            spool=self.spool,
            work=self.work,
            telemetry=self.notes,
            clock=Clock(),
            routing=Routing(rules=rules, destinations={"PACS": PACS, "RIS": RIS}),
        )

    def ecg(self, number: int, *, patient: str = "P1", department: str = "") -> None:
        """Take the ECG with that number in its UID."""
        dataset = mortara()
        dataset.SOPInstanceUID, dataset.PatientID = f"1.2.3.{number}", patient
        dataset.InstitutionalDepartmentName = department
        self.accept(dataset)

    def job(self, job_id: int) -> Job:
        with self.work.begin() as transaction:
            job = transaction.jobs.get(job_id)
        assert job is not None
        return job

    def deliveries(self, job_id: int = 1) -> list[Delivery]:
        with self.work.begin() as transaction:
            return transaction.outbox.of_job(job_id)

    def accept(self, dataset: Dataset, *, implicit: bool = False, cut: int = 0) -> None:
        """Hand the data set over in one of its encodings, `cut` bytes short."""
        file = io.BytesIO()
        dataset.save_as(file, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
        content = file.getvalue()
        # A PS3.10 file: preamble, prefix, and a file meta whose length (0002,0000) states.
        body = content[144 + int.from_bytes(content[140:144], "little") :]
        syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
        self.intake.accept(
            body[: len(body) - cut],
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            transfer_syntax_uid=str(syntax),
            origin=ORIGIN,
        )

    def states(self) -> list[JobState]:
        with self.work.begin() as transaction:
            return [job.state for job in transaction.jobs.latest(limit=10)][::-1]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.work.close()


def test_the_next_of_many_contents_under_one_uid_costs_no_more_than_the_first(
    world: World,
) -> None:
    dataset = mortara()
    for number in range(5):
        dataset.PatientID = f"TEST-{number}"
        world.spool.read = 0
        world.accept(dataset)
        assert world.spool.read == (1 if number else 0)
    assert world.states() == [JobState.RECEIVED] + [JobState.CONFLICT] * 4


def recoded(dataset: Dataset, *, implicit: bool) -> Dataset:
    """The same data set, its file meta naming the other transfer syntax."""
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    )
    return dataset


def test_an_accepted_instance_is_kept_and_its_job_is_new_with_it(world: World) -> None:
    world.accept(mortara())
    assert world.states() == [JobState.RECEIVED]
    assert world.work.queue == [("job", 1, 0, Priority.ROUTINE)]
    assert len(world.spool.kept) == 1


def test_the_same_instance_again_changes_nothing_in_either_encoding(world: World) -> None:
    world.accept(mortara())
    world.accept(mortara())
    world.accept(recoded(mortara(), implicit=True), implicit=True)
    assert world.states() == [JobState.RECEIVED]
    assert world.work.queue == [("job", 1, 0, Priority.ROUTINE)]
    assert len(world.notes.said("instance received again")) == 2


def test_another_content_under_a_known_uid_is_kept_aside_and_never_processed(
    world: World,
) -> None:
    world.accept(mortara())
    other = mortara()
    other.PatientID = "SOMEBODY-ELSE"
    world.accept(other)
    assert world.states() == [JobState.RECEIVED, JobState.CONFLICT]
    assert world.work.queue == [("job", 1, 0, Priority.ROUTINE)]
    assert len(world.spool.kept) == 2


def test_a_spool_that_is_full_means_no_row_and_no_success(world: World) -> None:
    world.spool.error = OutOfSpace("full")
    with pytest.raises(OutOfSpace):
        world.accept(mortara())
    assert world.states() == []
    assert world.work.queue == []


def test_an_instance_cut_short_leaves_nothing_behind(world: World) -> None:
    with pytest.raises(MalformedInstance):
        world.accept(mortara(), cut=1000)
    assert world.states() == []
    assert world.spool.kept == {}


def test_a_rule_gives_the_job_its_priority_and_others_stay_routine(world: World) -> None:
    world.route(STAT, LOW)
    world.ecg(1)
    world.ecg(2, patient="P2", department="ED WEST")
    assert [world.job(each).priority for each in (1, 2)] == [Priority.ROUTINE, Priority.STAT]
    assert world.work.queue == [
        ("job", 1, 0, Priority.ROUTINE),
        ("job", 2, 0, Priority.STAT),
    ]


def test_without_priorities_nothing_is_read_and_no_patient_is_noted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(*given: object, **named: object) -> Dataset:
        raise AssertionError("no rule asks for it")

    monkeypatch.setattr("node.workflow.intake.read_dataset", unread)
    world.route(RoutingRule(name="all", destinations=("PACS", "RIS")))
    world.ecg(1)
    assert world.job(1).patient_digest is None
    assert world.deliveries() == []


def test_the_waveform_is_not_read_to_find_the_priority(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[Dataset] = []

    def noted(*given: Any, **named: Any) -> Dataset:
        heads.append(read_dataset(*given, **named))
        return heads[-1]

    monkeypatch.setattr("node.workflow.intake.read_dataset", noted)
    world.route(STAT)
    world.ecg(1, department="ED")
    (head,) = heads
    assert "PatientID" in head
    assert "WaveformSequence" not in head


def test_an_ecg_passes_no_earlier_one_of_its_own_patient(world: World) -> None:
    world.route(STAT)
    world.ecg(1, patient="P1")
    world.ecg(2, patient="P2")
    world.ecg(3, patient="P1", department="ED")
    assert [world.job(each).priority.value for each in (1, 2, 3)] == ["stat", "routine", "stat"]
    # The first at once; the third comes after it: in its class the older goes first.
    assert world.work.queue[2:] == [
        ("job", 1, 1, Priority.STAT),
        ("job", 3, 0, Priority.STAT),
    ]


def test_a_message_of_the_patient_that_waits_is_taken_along(world: World) -> None:
    world.route(STAT)
    world.ecg(1, patient="P1")
    with world.work.begin() as transaction:
        transaction.jobs.settle(1, JobState.COMPLETED, at=Clock()())
        for kind, destination in ((ResultKind.ORU, RIS), (ResultKind.REPORT, PACS)):
            transaction.outbox.add(
                job_id=1,
                kind=kind,
                identifier=kind.value,
                sop_class_uid="",
                destination=destination.name,
                destination_kind=destination.kind,
                content_digest="0" * 64,
                revision=1,
                at=Clock()(),
            )
    world.ecg(2, patient="P1", department="ED")
    assert world.job(1).priority is Priority.STAT
    assert world.work.queue[1:] == [
        ("delivery", 1, 2, "RIS", DestinationKind.HL7),
        ("job", 2, 0, Priority.STAT),
    ]


def test_ecgs_without_a_patient_id_are_not_taken_for_one_patients(world: World) -> None:
    world.route(STAT)
    world.ecg(1, patient="")
    world.ecg(2, patient="", department="ED")
    assert world.job(1).priority is Priority.ROUTINE


def test_the_ecg_itself_is_owed_at_once_as_it_is_kept(world: World) -> None:
    world.route(KEEPING)
    world.ecg(1)
    (owed,) = world.deliveries()
    assert (owed.kind, owed.destination, owed.identifier) == (ResultKind.ECG, "PACS", "1.2.3.1")
    assert owed.content_digest == world.job(1).content_digest
    assert world.work.queue == [
        ("job", 1, 0, Priority.ROUTINE),
        ("delivery", 1, 1, "PACS", DestinationKind.DICOM),
    ]
    world.ecg(1)
    assert len(world.deliveries()) == 1


def test_an_ecg_whose_uid_is_taken_is_not_passed_on(world: World) -> None:
    world.route(KEEPING)
    world.ecg(1)
    world.ecg(1, patient="SOMEBODY-ELSE")
    assert world.job(2).state is JobState.CONFLICT
    assert world.deliveries(2) == []


def test_the_ecg_itself_does_not_go_back_to_its_sender(world: World) -> None:
    back = replace(PACS, ae_title=ORIGIN.calling_ae)
    world.route(KEEPING)
    world.intake = replace(
        world.intake, routing=Routing(rules=[KEEPING], destinations={"PACS": back, "RIS": RIS})
    )
    world.ecg(1)
    assert world.deliveries() == []
