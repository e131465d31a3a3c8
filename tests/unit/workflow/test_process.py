"""The spine, where its work is broken off: the job stays what it was, for another try."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from node.dicom.template import load_templates
from node.domain.delivery import Delivery, DestinationKind, JobState, ResultKind, ResultObject
from node.domain.errors import DeviceError, Interrupted
from node.domain.form import CharacterSet, CineForm, ReportForm, ResultForm
from node.domain.instance import Origin
from node.hl7.profile import Profile
from node.workflow.compose import compose_objects
from node.workflow.intake import Intake
from node.workflow.process import Processing
from node.workflow.route import Destination, Routing, RoutingRule
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline
from pipelines.contract import Pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import mortara
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes

QUICK = Path(__file__).parents[2] / "data" / "bundles" / "quick"


CALLED = "CARDIONODE"


@dataclass(frozen=True, kw_only=True)
class World:
    processing: Processing
    work: MemoryUnitOfWork
    notes: Notes

    spool: MemorySpool

    def deliveries(self) -> list[Delivery]:
        with self.work.begin() as transaction:
            return transaction.outbox.of_job(1)

    def state(self) -> JobState:
        with self.work.begin() as transaction:
            (job,) = transaction.jobs.latest(limit=10)
        return job.state


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return load_pipeline(read_bundle(QUICK), OnnxRuntime(threads=1))


@pytest.fixture
def world(pipeline: Pipeline) -> Iterator[World]:
    """One ECG is accepted; nobody is owed its results."""
    yield from _world(pipeline)


def _world(pipeline: Pipeline, *destinations: Destination) -> Iterator[World]:
    """One ECG is accepted; everything is owed to the destinations."""
    spool, work, notes, clock = MemorySpool(), MemoryUnitOfWork(), Notes(), Clock()
    dataset, file = mortara(), io.BytesIO()
    dataset.save_as(file)
    content = file.getvalue()
    # A PS3.10 file: preamble, prefix, and a file meta whose length (0002,0000) states.
    Intake(spool=spool, work=work, telemetry=notes, clock=clock).accept(
        content[144 + int.from_bytes(content[140:144], "little") :],
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
        origin=Origin(calling_ae="CART", called_ae=CALLED, peer="127.0.0.1"),
    )
    processing = Processing(
        spool=spool,
        work=work,
        pipeline_for={CALLED: pipeline}.__getitem__,
        templates=load_templates(),
        routing=Routing(
            rules=[RoutingRule(name="all", destinations=tuple(each.name for each in destinations))],
            destinations={each.name: each for each in destinations},
        ),
        telemetry=notes,
        clock=clock,
    )
    yield World(processing=processing, work=work, notes=notes, spool=spool)
    work.close()


@pytest.mark.parametrize(
    "error", [Interrupted("the node is being stopped"), DeviceError("the device is lost")]
)
def test_what_ends_a_prediction_from_without_leaves_the_job_for_another_try(
    world: World, error: Exception
) -> None:
    def watch(share: float) -> None:
        raise error

    with pytest.raises(type(error)):
        world.processing.process(1, watch)
    assert world.state() is JobState.RECEIVED
    assert world.notes.said("job failed: it waits for a person") == []
    world.processing.process(1)
    assert world.state() is JobState.COMPLETED


PLAIN = Destination(name="PACS", kind=DestinationKind.DICOM)
TWIN = Destination(name="VNA", kind=DestinationKind.DICOM)
OLD = Destination(
    name="OLD",
    kind=DestinationKind.DICOM,
    form=ResultForm(cine=CineForm.SINGLE_FRAMES, report=ReportForm.NONE),
)
RIS = Destination(name="RIS", kind=DestinationKind.HL7, profile=Profile())


def test_results_are_composed_once_a_form_and_predicted_once(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[ResultForm] = []

    def counted(*given: Any, **kinds: Any) -> tuple[ResultObject, ...]:
        composed.append(given[-1])
        return compose_objects(*given, **kinds)

    monkeypatch.setattr("node.workflow.answer.compose_objects", counted)
    predicted = mock.Mock(wraps=pipeline)
    predicted.identity, predicted.input_spec = pipeline.identity, pipeline.input_spec
    for world in _world(predicted, PLAIN, TWIN, OLD, RIS):
        world.processing.process(1)
        assert predicted.predict.call_count == 1
        assert composed == [PLAIN.form, OLD.form]
        told = [(each.destination, each.kind) for each in world.deliveries()]
        usual = (ResultKind.CINE, ResultKind.SUMMARY, ResultKind.REPORT)
        assert told[:6] == [(name, kind) for name in ("PACS", "VNA") for kind in usual]
        *frames, summary = told[6:-1]
        assert len(frames) > 1
        assert set(frames) == {("OLD", ResultKind.CINE)}
        assert summary == ("OLD", ResultKind.SUMMARY)
        assert told[-1] == ("RIS", ResultKind.ORU)
        same = [each.identifier for each in world.deliveries() if each.destination == "PACS"]
        assert same == [each.identifier for each in world.deliveries() if each.destination == "VNA"]


@pytest.mark.parametrize(("first", "other"), [(PLAIN, OLD), (OLD, PLAIN)])
def test_a_message_refers_to_what_the_first_archive_gets(
    pipeline: Pipeline, first: Destination, other: Destination
) -> None:
    for world in _world(pipeline, RIS, first, other):
        world.processing.process(1)
        by_name = {each.destination: each for each in reversed(world.deliveries())}
        message = world.spool.get(by_name["RIS"].content_digest).decode()
        assert by_name[first.name].identifier in message
        assert by_name[other.name].identifier not in message


def test_a_result_that_cannot_be_written_as_chosen_is_held_for_a_person(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ecg = mortara()
    ecg.SpecificCharacterSet, ecg.PatientName = "ISO_IR 192", "山田^太郎"
    monkeypatch.setattr("tests.unit.workflow.test_process.mortara", lambda: ecg)
    latin = replace(PLAIN, form=ResultForm(character_set=CharacterSet.LATIN_1))
    for world in _world(pipeline, latin):
        world.processing.process(1)
        assert world.state() is JobState.FAILED
        assert world.deliveries() == []
        (said,) = world.notes.said("job failed: it waits for a person")
        assert "ISO_IR 100 does not have" in said["reason"]


def test_a_result_that_breaks_the_standard_is_held_for_a_person(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error of ours would make it: an image that does not say that it is synthetic."""
    monkeypatch.setattr("node.dicom.validation.SYNTHETIC", "NOT THERE")
    for world in _world(pipeline, PLAIN):
        kept = set(world.spool.kept)
        world.processing.process(1)
        assert world.state() is JobState.FAILED
        assert world.deliveries() == []
        (said,) = world.notes.said("job failed: it waits for a person")
        assert said["error_code"] == "invalid-result"
        assert "SeriesDescription does not say" in said["reason"]
        assert kept <= set(world.spool.kept)
