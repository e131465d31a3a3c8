"""The spine, where its work is broken off: the job stays what it was, for another try."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.dicom.template import load_templates
from node.domain.delivery import JobState
from node.domain.errors import DeviceError, Interrupted
from node.domain.instance import Origin
from node.workflow.intake import Intake
from node.workflow.process import Processing
from node.workflow.route import Routing
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
        routing=Routing(rules=[], destinations={}),
        telemetry=notes,
        clock=clock,
    )
    yield World(processing=processing, work=work, notes=notes)
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
