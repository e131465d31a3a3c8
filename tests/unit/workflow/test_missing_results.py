"""A result that cannot be made for one destination keeps none from the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from node.domain.delivery import DestinationKind, JobState, ResultKind
from node.domain.form import CharacterSet, ResultForm
from node.hl7.profile import Profile
from node.workflow.identity import IdentityPolicy
from node.workflow.route import Destination, Routing, RoutingRule
from pipelines.contract import Pipeline
from tests.unit.workflow.test_identity import PACS, World, pipeline

__all__ = ["pipeline"]

NAME = "Müller^Jörg"
LATIN = Destination(name="RIS", kind=DestinationKind.HL7, profile=Profile(charset="ASCII"))
UNICODE = replace(LATIN, profile=Profile())


@pytest.fixture
def world(pipeline: Pipeline) -> Iterator[World]:
    made = World(pipeline, IdentityPolicy())
    yield made
    made.work.close()


def send_to(world: World, *destinations: Destination) -> None:
    rule = RoutingRule(name="all", destinations=tuple(each.name for each in destinations))
    routing = Routing(rules=[rule], destinations={each.name: each for each in destinations})
    world.processing = replace(world.processing, routing=routing)


def kinds(world: World) -> list[ResultKind]:
    with world.work.begin() as transaction:
        return [each.kind for each in transaction.outbox.of_job(1)]


ARCHIVED = [ResultKind.CINE, ResultKind.SUMMARY, ResultKind.REPORT]


def test_the_pacs_gets_its_results_and_the_message_waits_for_a_person(world: World) -> None:
    send_to(world, PACS, LATIN)
    job = world.answer(1, patient="A", PatientName=NAME)
    assert (job.state, job.error_code) == (JobState.COMPLETED, "results-missing")
    assert (job.error_message or "").startswith("RIS: the result holds a character that ASCII")
    assert "Müller" not in f"{job.error_message} {world.notes.events}"
    assert kinds(world) == ARCHIVED
    assert len(world.notes.said("results not made: they wait for a person")) == 1


def test_what_was_missing_is_made_by_a_retry_and_the_rest_not_again(world: World) -> None:
    send_to(world, PACS, LATIN)
    world.answer(1, patient="A", PatientName=NAME)
    send_to(world, PACS, UNICODE)
    assert "processed again" in world.person.retry(1)
    world.processing.process(1)
    job = world.job(1)
    assert (job.state, job.error_code, job.revision) == (JobState.COMPLETED, None, 1)
    assert kinds(world) == [*ARCHIVED, ResultKind.ORU]


def test_where_nothing_can_be_made_the_job_fails(world: World) -> None:
    send_to(world, LATIN)
    job = world.answer(1, patient="A", PatientName=NAME)
    assert (job.state, job.error_code) == (JobState.FAILED, "configuration")
    assert kinds(world) == []


def test_an_archive_in_other_letters_keeps_nothing_from_the_one_beside_it(world: World) -> None:
    greek = replace(PACS, name="OLD", form=ResultForm(character_set=CharacterSet("ISO_IR 126")))
    send_to(world, greek, PACS)
    job = world.answer(1, patient="A", PatientName=NAME)
    assert (job.error_code, (job.error_message or "")[:5]) == ("results-missing", "OLD: ")
    assert kinds(world) == ARCHIVED


def test_a_job_that_lacks_a_result_is_not_removed_with_age(world: World) -> None:
    send_to(world, PACS, LATIN)
    world.answer(1, patient="A", PatientName=NAME)
    with world.work.begin() as transaction:
        for each in transaction.outbox.of_job(1):
            transaction.outbox.cancel(each.delivery_id, at=world.clock())
        later = world.clock() + timedelta(days=365)
        assert transaction.jobs.ended_before(later, limit=9) == []


def test_what_is_missing_is_not_made_for_another_patient_beside_the_rest(world: World) -> None:
    send_to(world, PACS, LATIN)
    world.answer(1, patient="A", PatientName=NAME)
    world.tell(b"MSH|^~\\&|RIS|H|CN|H|20261126||ADT^A40|C1|P|2.5.1\rPID|||B\rMRG|A\r")
    send_to(world, PACS, UNICODE)
    world.processing.process(1)
    job = world.job(1)
    assert (job.state, job.error_code, job.revision) == (JobState.COMPLETED, None, 2)


def test_a_message_that_waits_for_an_archive_waits_for_what_could_not_be_made(
    world: World,
) -> None:
    greek = replace(PACS, name="OLD", form=ResultForm(character_set=CharacterSet("ISO_IR 126")))
    send_to(world, greek, PACS, replace(UNICODE, after_committed="OLD"))
    job = world.answer(1, patient="A", PatientName=NAME)
    assert job.error_code == "results-missing"
    assert kinds(world) == ARCHIVED
