"""What a FHIR server is owed: results, corrections and withdrawals under one identifier."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from node.dicom.template import load_templates
from node.domain.delivery import DeliveryOutcome, DeliveryState, DestinationKind, ResultKind
from node.domain.ecg import Finding, QualityReport, Severity
from node.domain.wording import CORRECTED, WITHDRAWN
from node.fhir.site import Site
from node.workflow.identity import IdentityPolicy
from node.workflow.route import Destination, Routing, RoutingRule
from node.workflow.withdraw import Withdrawal
from pipelines.contract import Pipeline
from tests.fakes import SOMEBODY
from tests.unit.workflow.test_correct import PACS, RIS
from tests.unit.workflow.test_identity import World, pipeline

__all__ = ["pipeline"]

EHR = Destination(
    name="EHR", kind=DestinationKind.FHIR, site=Site(time_zone=ZoneInfo("Europe/Vienna"))
)
ALL = {each.name: each for each in (PACS, RIS, EHR)}


class Hospital(World):
    """With a PACS, a RIS and a FHIR server."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, IdentityPolicy())
        self.goes_to(*ALL)

    def goes_to(self, *names: str) -> None:
        rules = [RoutingRule(name="all", destinations=names)]
        self.processing = replace(self.processing, routing=Routing(rules=rules, destinations=ALL))

    def kinds(self, revision: int) -> set[tuple[str, str]]:
        with self.work.begin() as transaction:
            made = transaction.outbox.of_job(1)
        return {(each.destination, each.kind.value) for each in made if each.revision == revision}

    def told(self, revision: int) -> list[dict[str, Any]]:
        """The transactions of that revision."""
        with self.work.begin() as transaction:
            made = transaction.outbox.of_job(1)
        return [
            json.loads(self.spool.get(each.content_digest))
            for each in made
            if (each.revision, each.kind) == (revision, ResultKind.FHIR)
        ]

    def arrive(self) -> None:
        at = self.clock()
        with self.work.begin() as transaction:
            for each in transaction.outbox.of_job(1):
                outcome = DeliveryOutcome(state=DeliveryState.DELIVERED)
                if each.state is DeliveryState.PENDING:
                    transaction.outbox.settle(each.delivery_id, outcome, started_at=at, at=at)

    def withdraw(self) -> str:
        return Withdrawal(
            by=SOMEBODY,
            work=self.work,
            spool=self.spool,
            templates=load_templates(),
            telemetry=self.notes,
            clock=self.clock,
        ).withdraw(1)


@pytest.fixture
def hospital(pipeline: Pipeline) -> Iterator[Hospital]:
    made = Hospital(pipeline)
    made.answer(1, patient="A")
    yield made
    made.work.close()


def names(transaction: dict[str, Any]) -> list[str]:
    return [each["fullUrl"] for each in transaction["entry"]]


def status(transaction: dict[str, Any]) -> set[str]:
    return {each["resource"]["status"] for each in transaction["entry"]}


def conclusion(transaction: dict[str, Any]) -> list[str]:
    text: str = transaction["entry"][0]["resource"]["conclusion"]
    return text.splitlines()


def test_each_gets_what_its_protocol_carries(hospital: Hospital) -> None:
    owed = hospital.kinds(1)
    assert {kind for name, kind in owed if name == "EHR"} == {"fhir"}
    assert {kind for name, kind in owed if name == "RIS"} == {"oru"}
    assert not {"fhir", "oru"} & {kind for name, kind in owed if name == "PACS"}
    (told,) = hospital.told(1)
    assert status(told) == {"preliminary"}


def test_a_correction_of_what_arrived_says_so_under_the_same_identifiers(
    hospital: Hospital,
) -> None:
    hospital.arrive()
    hospital.person.correct(1)
    hospital.processing.process(1)
    (first,), (again,) = hospital.told(1), hospital.told(2)
    assert names(first) == names(again)
    assert first["identifier"] != again["identifier"]
    assert status(again) == {"corrected"}
    assert CORRECTED in conclusion(again)


def test_a_correction_of_what_never_arrived_corrects_nothing(hospital: Hospital) -> None:
    hospital.person.correct(1)
    hospital.processing.process(1)
    (again,) = hospital.told(2)
    assert status(again) == {"preliminary"}


def test_a_correction_without_a_result_takes_the_report_back(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.arrive()
    hospital.person.correct(1)
    refusal = Finding(code="noise", severity=Severity.REFUSE, message="too noisy")
    monkeypatch.setattr(
        "node.workflow.answer.judge", lambda *_: (None, QualityReport(findings=(refusal,)))
    )
    hospital.processing.process(1)
    (told,) = hospital.told(2)
    assert status(told) == {"entered-in-error"}


def test_a_server_that_no_rule_names_any_more_hears_that_its_report_is_wrong(
    hospital: Hospital,
) -> None:
    hospital.arrive()
    hospital.goes_to("PACS")
    hospital.person.correct(1)
    hospital.processing.process(1)
    (told,) = hospital.told(2)
    assert status(told) == {"entered-in-error"}
    hospital.arrive()
    hospital.person.correct(1)
    hospital.processing.process(1)
    assert hospital.told(3) == []


def test_a_withdrawal_reaches_it_once_with_all_that_it_has(hospital: Hospital) -> None:
    hospital.arrive()
    hospital.person.correct(1)
    hospital.processing.process(1)
    hospital.arrive()
    assert "messages tell their destinations" in hospital.withdraw()
    (told,) = hospital.told(3)
    assert names(told) == names(hospital.told(1)[0])
    assert status(told) == {"entered-in-error"}
    assert conclusion(told) == [WITHDRAWN]


def test_what_never_left_is_not_taken_back(hospital: Hospital) -> None:
    at, outcome = hospital.clock(), DeliveryOutcome(state=DeliveryState.DELIVERED)
    with hospital.work.begin() as transaction:
        for each in transaction.outbox.of_job(1):
            if each.destination == "PACS":
                transaction.outbox.settle(each.delivery_id, outcome, started_at=at, at=at)
    hospital.withdraw()
    assert hospital.told(2) == []
