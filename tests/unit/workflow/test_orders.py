"""A job and the order of its ECG: looked up, waited for, held, released."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from node.dicom.part10 import read_part10
from node.domain.delivery import JobState, Priority, ResultKind
from node.domain.errors import Refused, Unanswered, Unreachable
from node.domain.order import Order, ScheduledOrder
from node.domain.study import Patient, Study
from node.workflow.identity import IdentityPolicy
from node.workflow.process import ASK_AGAIN_S
from node.workflow.reconcile import OrderPolicy
from pipelines.contract import Pipeline
from tests.unit.workflow.test_identity import World, pipeline

__all__ = ["pipeline"]


class Ris:
    def __init__(self) -> None:
        self.known: list[ScheduledOrder] = []
        self.failure: Exception | None = None
        self.asked = 0

    def find(self, study: Study) -> Sequence[ScheduledOrder]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.known


@pytest.fixture
def ris() -> Ris:
    return Ris()


@pytest.fixture
def world(pipeline: Pipeline, ris: Ris) -> Iterator[World]:
    made = World(pipeline, IdentityPolicy())
    made.processing = replace(made.processing, orders=ris)
    yield made
    made.work.close()


def order(patient_id: str) -> ScheduledOrder:
    return ScheduledOrder(
        order=Order(filler_order_number="F1"),
        patient=Patient(patient_id=patient_id),
        study_instance_uid="1.2.3",
    )


def with_policy(world: World, policy: OrderPolicy) -> None:
    world.processing = replace(world.processing, order_policy=policy)


def test_results_are_made_for_the_order(world: World, ris: Ris) -> None:
    ris.known = [order("A")]
    assert world.answer(1, patient="A").state is JobState.COMPLETED
    with world.work.begin() as transaction:
        (report,) = (
            each for each in transaction.outbox.of_job(1) if each.kind is ResultKind.REPORT
        )
    request = read_part10(world.spool.get(report.content_digest)).ReferencedRequestSequence[0]
    assert request.FillerOrderNumberImagingServiceRequest == "F1"


def test_an_ecg_whose_order_is_another_patients_is_held_and_released_goes_with_its_own(
    world: World, ris: Ris
) -> None:
    ris.known = [order("SECRET-B")]
    job = world.answer(1, patient="SECRET-A")
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")
    assert "another Patient ID" in (job.error_message or "")
    assert "SECRET" not in f"{job} {world.notes.events}"
    assert world.owed(1) == 0
    world.person.release(1)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED and world.owed(1) > 0


def test_who_let_a_patient_go_has_not_seen_the_doubt_about_the_order(
    world: World, ris: Ris
) -> None:
    ris.known = [replace(order(""), order=Order(accession_number="ANOTHER"))]
    assert world.answer(1, patient="").error_code == "uncertain-patient"
    world.person.release(1)
    world.processing.process(1)
    job = world.job(1)
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")
    world.person.release(1)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED


def test_an_ecg_in_doubt_about_its_patient_is_held_before_anybody_is_asked(
    world: World, ris: Ris
) -> None:
    assert world.answer(1, patient="").error_code == "uncertain-patient"
    assert ris.asked == 0


@pytest.mark.parametrize("holds", [False, True])
def test_an_ecg_without_an_order_goes_or_is_held_as_configured(
    world: World, ris: Ris, holds: bool
) -> None:
    with_policy(world, OrderPolicy(holds_unmatched=holds))
    job = world.answer(1, patient="A")
    if not holds:
        assert job.state is JobState.COMPLETED
        return
    assert (job.state, job.error_code) == (JobState.HELD, "uncertain-order")
    world.person.release(1)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED


@pytest.mark.parametrize("failure", [Unreachable("nobody"), Unanswered("gone")])
def test_a_ris_that_does_not_answer_is_waited_for_then_done_without(
    world: World, ris: Ris, failure: Exception
) -> None:
    """While it is, the job stands back and takes nobody's place."""
    with_policy(world, OrderPolicy(patience_s=25.0))
    ris.failure = failure
    job = world.answer(1, patient="A")
    assert (job.state, job.run) == (JobState.RECEIVED, 1)
    later = timedelta(seconds=ASK_AGAIN_S)
    assert world.work.queue[-1] == ("job", 1, 1, Priority.ROUTINE, world.clock.now + later)
    world.clock.move(20.0)
    world.processing.process(1)
    assert world.work.queue[-1][-1] <= world.clock.now + timedelta(seconds=5)
    world.clock.move(10.0)
    world.processing.process(1)
    assert world.job(1).state is JobState.COMPLETED
    (said,) = world.notes.said("order not looked up")
    assert said["reason"] == str(failure)


def test_a_ris_that_will_never_answer_is_not_waited_for(world: World, ris: Ris) -> None:
    ris.failure = Refused("never")
    assert world.answer(1, patient="A").state is JobState.COMPLETED
    assert len(world.notes.said("order not looked up")) == 1


def test_where_orders_are_insisted_on_a_ris_that_does_not_answer_holds_the_ecg(
    world: World, ris: Ris
) -> None:
    with_policy(world, OrderPolicy(holds_unmatched=True, patience_s=1.0))
    ris.failure = Unreachable("nobody")
    world.answer(1, patient="A")
    world.clock.move(2.0)
    world.processing.process(1)
    assert world.job(1).error_code == "uncertain-order"
