"""Whose ECG it is: in doubt it is held, and a person releases or rejects it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from node.dicom.template import load_templates
from node.domain.delivery import DestinationKind, JobState, Priority
from node.domain.errors import NotPossible
from node.domain.instance import Origin
from node.domain.prediction import ModelIdentity, Prediction
from node.store.received import Job
from node.workflow.identity import IdentityPolicy
from node.workflow.inbox import Inbox
from node.workflow.intake import Intake
from node.workflow.intervene import Intervention
from node.workflow.process import Processing
from node.workflow.registry import Registry
from node.workflow.route import Destination, Routing, RoutingRule
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.contract import InputSpec, Pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import mortara
from tests.fakes import SOMEBODY, Clock, MemorySpool, MemoryUnitOfWork, Notes

QUICK = Path(__file__).parents[2] / "data" / "bundles" / "quick"
ORIGIN = Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1")
PACS = Destination(name="PACS", kind=DestinationKind.DICOM)


@dataclass(frozen=True)
class Brief:
    """A pipeline that says little: results are made in half the time."""

    made: Pipeline

    @property
    def identity(self) -> ModelIdentity:
        return self.made.identity

    @property
    def input_spec(self) -> InputSpec:
        return self.made.input_spec

    def predict(self, *given: Any, **named: Any) -> Prediction:
        whole = self.made.predict(*given, **named)
        return replace(whole, estimates=whole.estimates[:3], diseases=whole.diseases[:1])


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Brief(load_pipeline(read_bundle(QUICK), OnnxRuntime(threads=1)))


class World:
    def __init__(self, pipeline: Pipeline, policy: IdentityPolicy) -> None:
        self.work, self.notes, self.clock = MemoryUnitOfWork(), Notes(), Clock()
        self.spool = MemorySpool()
        parts = {"work": self.work, "telemetry": self.notes, "clock": self.clock}
        self._intake = Intake(spool=self.spool, **parts)
        self.registry = Registry(spool=self.spool, work=self.work)
        self._inbox = Inbox(spool=self.spool, registry=self.registry, **parts)
        self.processing = Processing(
            spool=self.spool,
            work=self.work,
            registry=self.registry,
            pipeline_for=lambda called_ae: pipeline,
            templates=load_templates(),
            routing=Routing(
                rules=[RoutingRule(name="all", destinations=("PACS",))],
                destinations={"PACS": PACS},
            ),
            telemetry=self.notes,
            clock=self.clock,
            identity=policy,
        )
        self.person = Intervention(
            by=SOMEBODY, work=self.work, telemetry=self.notes, clock=self.clock, after={}
        )

    def answer(self, number: int, *, patient: str, study: str = "1.2.3", **stated: str) -> Job:
        """Take an ECG, with these attributes too, and process its job, whose number is given."""
        self.take(number, patient=patient, study=study, **stated)
        self.processing.process(number)
        return self.job(number)

    def take(self, number: int, *, patient: str, study: str = "1.2.3", **stated: str) -> None:
        dataset = mortara()
        dataset.SOPInstanceUID, dataset.StudyInstanceUID = f"1.2.3.{number}", study
        dataset.PatientID = patient
        for keyword, value in stated.items():
            setattr(dataset, keyword, value)
        file = io.BytesIO()
        dataset.save_as(file, enforce_file_format=False)
        content = file.getvalue()
        self._intake.accept(
            content[144 + int.from_bytes(content[140:144], "little") :],
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
            origin=ORIGIN,
        )

    def tell(self, message: bytes) -> bytes:
        """The acknowledgement of an HL7 message."""
        (answer,) = self._inbox.answer(message, "192.0.2.9")
        return answer

    def replay(self, number: int) -> str:
        return self._inbox.replay(number, SOMEBODY)

    def hl7_is_written_in(self, charset: str) -> None:
        """Where a message does not say so, from now on."""
        self._inbox = replace(self._inbox, unmarked_charset=charset)

    def correct_late(self) -> None:
        """What orders that come after the results change, from now on."""
        self._inbox = replace(self._inbox, registry=replace(self.registry, corrects_late=True))

    def job(self, job_id: int) -> Job:
        with self.work.begin() as transaction:
            job = transaction.jobs.get(job_id)
        assert job is not None
        return job

    def owed(self, job_id: int) -> int:
        with self.work.begin() as transaction:
            return len(transaction.outbox.of_job(job_id))


@pytest.fixture
def policy() -> IdentityPolicy:
    return IdentityPolicy()


@pytest.fixture
def world(pipeline: Pipeline, policy: IdentityPolicy) -> Iterator[World]:
    made = World(pipeline, policy)
    yield made
    made.work.close()


def test_an_ecg_without_a_patient_id_is_held_with_its_reason(world: World) -> None:
    job = world.answer(1, patient="")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-patient")
    assert "has no Patient ID" in (job.error_message or "")
    assert world.owed(1) == 0
    assert world.notes.said("job held: it waits for a person")[0]["job_id"] == 1


def test_another_patient_in_a_known_study_is_held_without_naming_either(world: World) -> None:
    assert world.answer(1, patient="SECRET-A").state is JobState.COMPLETED
    job = world.answer(2, patient="SECRET-B")
    assert job.state is JobState.HELD
    assert (job.error_message or "").startswith("job 1 has another Patient ID in the same study")
    assert "SECRET" not in f"{job} {world.notes.events}"


def test_the_same_patient_and_other_studies_are_processed(world: World) -> None:
    jobs = [
        world.answer(1, patient="A"),
        world.answer(2, patient="A"),
        world.answer(3, patient="B", study="1.2.4"),
    ]
    assert {job.state for job in jobs} == {JobState.COMPLETED}


def test_what_is_held_or_rejected_says_nothing_about_the_patient_of_a_study(world: World) -> None:
    world.answer(1, patient="A")
    world.answer(2, patient="B")
    assert world.answer(3, patient="A").state is JobState.COMPLETED
    world.person.reject(2)
    assert world.answer(4, patient="A").state is JobState.COMPLETED


def test_a_released_job_is_processed_and_not_held_again(world: World) -> None:
    world.answer(1, patient="")
    world.person.release(1)
    assert world.job(1).state is JobState.RECEIVED
    assert world.work.queue[-1] == ("job", 1, 1, Priority.ROUTINE)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    assert world.owed(1) > 0
    assert world.notes.said("job released by a person") == [{"job_id": 1}]


def test_nothing_is_predicted_for_a_held_ecg(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.workflow.process.predict", lambda *_, **__: pytest.fail("predicted"))
    assert world.answer(1, patient="").state is JobState.HELD


def test_who_sees_a_job_does_not_see_whose_it_is(world: World) -> None:
    job = world.answer(1, patient="4711")
    assert job.patient_digest is not None
    assert job.patient_digest not in repr(job)


def test_a_rejected_job_ends_and_keeps_its_reason(world: World) -> None:
    world.answer(1, patient="")
    world.person.reject(1)
    job = world.job(1)
    assert job.state is JobState.CANCELLED
    assert (job.error_message or "").startswith("rejected by a person; the ECG has no Patient ID")
    assert world.notes.said("job rejected by a person") == [{"job_id": 1}]
    assert world.owed(1) == 0


def test_only_what_is_held_is_released_or_rejected_and_it_is_not_retried(world: World) -> None:
    world.answer(1, patient="A")
    for intervene in (world.person.release, world.person.reject):
        with pytest.raises(NotPossible, match="job 1 is not held, but completed"):
            intervene(1)
        with pytest.raises(NotPossible, match="there is no job 9"):
            intervene(9)
    world.answer(2, patient="")
    with pytest.raises(NotPossible, match="job 2 is held; release or reject it"):
        world.person.retry(2)


@pytest.mark.parametrize(
    "policy", [IdentityPolicy(holds_missing=False, holds_conflict=False)], ids=["process"]
)
def test_a_site_may_have_both_processed(world: World) -> None:
    states = {world.answer(number, patient=each).state for number, each in enumerate("AB", 1)}
    assert states | {world.answer(3, patient="").state} == {JobState.COMPLETED}
