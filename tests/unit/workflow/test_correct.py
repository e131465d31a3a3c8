"""A correction: new instances that name what they replace, and a message that says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom import Dataset

from node.dicom.part10 import read_part10
from node.domain.delivery import (
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    JobState,
    Priority,
    ResultKind,
)
from node.domain.ecg import Finding, QualityReport, Severity
from node.domain.errors import NotPossible, Unreachable
from node.domain.form import ReportForm, ResultForm
from node.domain.order import Order, ScheduledOrder
from node.domain.study import Patient
from node.hl7.profile import Profile
from node.workflow.identity import IdentityPolicy
from node.workflow.process import Processing
from node.workflow.route import Destination, Routing, RoutingRule
from pipelines.contract import Pipeline
from tests.unit.workflow.test_identity import World, pipeline
from tests.unit.workflow.test_orders import Ris

__all__ = ["pipeline"]

PACS = Destination(name="PACS", kind=DestinationKind.DICOM)
OTHER = Destination(
    name="OTHER", kind=DestinationKind.DICOM, form=ResultForm(report=ReportForm.ENHANCED)
)
RIS = Destination(name="RIS", kind=DestinationKind.HL7, profile=Profile())
ALL = {each.name: each for each in (PACS, OTHER, RIS)}


class Site(World):
    """A world with two archives of different forms and a RIS."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(pipeline, IdentityPolicy())
        self._destinations = dict(ALL)
        self.goes_to(*ALL)

    def goes_to(self, *names: str) -> None:
        rules = [RoutingRule(name="all", destinations=names)]
        self.processing: Processing = replace(
            self.processing, routing=Routing(rules=rules, destinations=self._destinations)
        )

    def in_form(self, name: str, form: ResultForm) -> None:
        """From now on that destination alone gets results, in that form."""
        self._destinations[name] = replace(self._destinations[name], form=form)
        self.goes_to(name)

    def made(self, revision: int) -> dict[tuple[ResultKind, str], Delivery]:
        with self.work.begin() as transaction:
            deliveries = transaction.outbox.of_job(1)
        return {
            (each.kind, each.destination): each for each in deliveries if each.revision == revision
        }

    def report(self, revision: int, destination: str) -> Dataset:
        delivery = self.made(revision)[ResultKind.REPORT, destination]
        return read_part10(self.processing.spool.get(delivery.content_digest))

    def message(self, revision: int) -> list[list[str]]:
        delivery = self.made(revision)[ResultKind.ORU, "RIS"]
        text = self.processing.spool.get(delivery.content_digest).decode()
        return [segment.split("|") for segment in text.split("\r") if segment]

    def messages(self, revision: int) -> list[list[list[str]]]:
        """All that the RIS is owed of that revision, in their order."""
        with self.work.begin() as transaction:
            owed = [each for each in transaction.outbox.of_job(1) if each.revision == revision]
        contents = [
            self.processing.spool.get(each.content_digest).decode()
            for each in owed
            if each.kind is ResultKind.ORU
        ]
        return [[s.split("|") for s in text.split("\r") if s] for text in contents]

    def orders(self, filler_order_number: str) -> Ris:
        """From now on the RIS has an order for the ECG."""
        ris = Ris()
        ris.known = [
            ScheduledOrder(
                order=Order(filler_order_number=filler_order_number),
                patient=Patient(patient_id="A"),
                study_instance_uid="1.2.3",
            )
        ]
        self.processing = replace(self.processing, orders=ris)
        return ris

    def arrive(
        self,
        revision: int,
        state: DeliveryState = DeliveryState.DELIVERED,
        error_code: str | None = None,
    ) -> None:
        """All results of that revision come to this at their destinations."""
        at, outcome = self.clock(), DeliveryOutcome(state=state, error_code=error_code)
        with self.work.begin() as transaction:
            for each in transaction.outbox.of_job(1):
                if each.revision == revision:
                    transaction.outbox.settle(each.delivery_id, outcome, started_at=at, at=at)

    def correct(self) -> None:
        self.person.correct(1)
        self.processing.process(1)
        assert self.job(1).state is JobState.COMPLETED


@pytest.fixture
def site(pipeline: Pipeline) -> Iterator[Site]:
    made = Site(pipeline)
    made.answer(1, patient="A")
    yield made
    made.work.close()


def predecessors(report: Dataset) -> list[tuple[str, str, str, str]]:
    return [
        (
            study.StudyInstanceUID,
            series.SeriesInstanceUID,
            document.ReferencedSOPClassUID,
            document.ReferencedSOPInstanceUID,
        )
        for study in report.get("PredecessorDocumentsSequence", [])
        for series in study.ReferencedSeriesSequence
        for document in series.ReferencedSOPSequence
    ]


def instance(report: Dataset) -> tuple[str, str, str, str]:
    return (
        report.StudyInstanceUID,
        report.SeriesInstanceUID,
        report.SOPClassUID,
        report.SOPInstanceUID,
    )


def test_each_report_names_the_one_of_its_form_that_it_replaces(site: Site) -> None:
    site.arrive(1)
    site.correct()
    assert site.made(1).keys() == site.made(2).keys()
    for name in ("PACS", "OTHER"):
        assert predecessors(site.report(1, name)) == []
        assert predecessors(site.report(2, name)) == [instance(site.report(1, name))]
    assert site.report(2, "PACS").SOPClassUID != site.report(2, "OTHER").SOPClassUID
    assert site.report(2, "PACS").SeriesDescription.endswith(", CORRECTION 1")


def test_nothing_of_a_correction_has_an_identifier_of_what_it_replaces(site: Site) -> None:
    site.arrive(1)
    site.correct()
    site.arrive(2)
    site.correct()
    identifiers = [
        {each.identifier for each in site.made(revision).values()} for revision in (1, 2, 3)
    ]
    assert not identifiers[0] & identifiers[1]
    assert not (identifiers[0] | identifiers[1]) & identifiers[2]
    assert predecessors(site.report(3, "PACS")) == [instance(site.report(2, "PACS"))]
    assert site.report(3, "PACS").SeriesDescription.endswith(", CORRECTION 2")


def test_the_ris_is_told_of_a_correction_under_the_same_filler_number(site: Site) -> None:
    site.arrive(1)
    site.correct()
    first, again = site.message(1), site.message(2)
    (obr,), (obr_again,) = ([s for s in each if s[0] == "OBR"] for each in (first, again))
    assert (obr[25], obr_again[25]) == ("R", "C")
    assert obr[3] == obr_again[3]
    assert first[0][9] != again[0][9]


def test_what_never_arrived_is_not_replaced_and_not_sent_any_more(site: Site) -> None:
    site.correct()
    assert {each.state for each in site.made(1).values()} == {DeliveryState.CANCELLED}
    assert predecessors(site.report(2, "PACS")) == []
    assert [s[25] for s in site.message(2) if s[0] == "OBR"] == ["R"]
    site.person.retry(1)
    assert {each.state for each in site.made(1).values()} == {DeliveryState.CANCELLED}


@pytest.mark.parametrize(
    ("state", "error_code", "is_there"),
    [
        (DeliveryState.STORED, None, True),
        (DeliveryState.EXHAUSTED, "unanswered", True),
        (DeliveryState.PENDING, "unanswered", True),
        (DeliveryState.EXHAUSTED, "unreachable", False),
        (DeliveryState.REFUSED, "refused", False),
    ],
)
def test_what_may_have_arrived_is_replaced(
    site: Site, state: DeliveryState, error_code: str | None, is_there: bool
) -> None:
    site.arrive(1, state, error_code)
    site.correct()
    expected = [instance(site.report(1, "PACS"))] if is_there else []
    assert predecessors(site.report(2, "PACS")) == expected
    assert [s[25] for s in site.message(2) if s[0] == "OBR"] == ["C" if is_there else "R"]


def test_a_destination_that_is_new_gets_a_first_report(site: Site) -> None:
    site.arrive(1)
    site.goes_to("PACS")
    site.correct()
    site.arrive(2)
    site.goes_to(*ALL)
    site.correct()
    assert predecessors(site.report(3, "PACS")) == [instance(site.report(2, "PACS"))]
    # Its last one was the first: the second never went there.
    assert predecessors(site.report(3, "OTHER")) == [instance(site.report(1, "OTHER"))]


def test_the_order_that_came_after_the_answer_is_in_the_correction(site: Site) -> None:
    site.arrive(1)
    site.orders("F9")
    site.correct()
    (request,) = site.report(2, "PACS").ReferencedRequestSequence
    assert request.FillerOrderNumberImagingServiceRequest == "F9"


def test_a_ris_that_knows_the_result_by_another_number_hears_that_it_is_wrong_first(
    site: Site,
) -> None:
    """A C under the order's number would correct what the RIS has never heard of."""
    site.arrive(1)
    (before,) = (s[3] for s in site.message(1) if s[0] == "OBR")
    site.orders("F9")
    site.correct()
    assert [(s[3], s[25]) for m in site.messages(2) for s in m if s[0] == "OBR"] == [
        (before, "X"),
        ("F9", "R"),
    ]
    # Stopped before either was sent: the next correction owes both again.
    site.correct()
    numbers = [(s[3], s[25]) for m in site.messages(3) for s in m if s[0] == "OBR"]
    assert numbers == [(before, "X"), ("F9", "R")]
    site.arrive(3)
    site.correct()
    assert [(s[3], s[25]) for m in site.messages(4) for s in m if s[0] == "OBR"] == [("F9", "C")]


def test_a_correction_without_a_result_takes_the_old_numbers_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.arrive(1)
    site.person.correct(1)
    refusal = Finding(code="noise", severity=Severity.REFUSE, message="too noisy")
    monkeypatch.setattr(
        "node.workflow.answer.judge", lambda *_: (None, QualityReport(findings=(refusal,)))
    )
    site.processing.process(1)
    assert site.job(1).state is JobState.NO_RESULT
    assert predecessors(site.report(2, "PACS")) == [instance(site.report(1, "PACS"))]
    assert [s[25] for m in site.messages(2) for s in m if s[0] == "OBR"] == ["X"]


def test_a_ris_that_no_rule_names_any_more_hears_that_its_result_is_wrong(site: Site) -> None:
    site.arrive(1)
    site.goes_to("PACS", "OTHER")
    site.correct()
    assert [s[25] for m in site.messages(2) for s in m if s[0] == "OBR"] == ["X"]
    site.arrive(2)
    site.correct()
    assert site.messages(3) == []


def test_what_is_being_sent_is_replaced_too(site: Site) -> None:
    with site.work.begin() as transaction:
        for each in site.made(1).values():
            assert transaction.outbox.begin_attempt(each.delivery_id)
    site.correct()
    assert predecessors(site.report(2, "PACS")) == [instance(site.report(1, "PACS"))]
    assert [s[25] for s in site.message(2) if s[0] == "OBR"] == ["C"]


def test_no_commitment_to_what_is_replaced_is_waited_for(site: Site) -> None:
    site.arrive(1, DeliveryState.STORED)
    site.person.correct(1)
    assert {each.state for each in site.made(1).values()} == {DeliveryState.CANCELLED}


def test_a_correction_waits_for_a_ris_that_does_not_answer(site: Site) -> None:
    """The order may be what it is for; and what it replaces is there."""
    site.arrive(1)
    ris = site.orders("F9")
    ris.failure = Unreachable("nobody")
    site.clock.move(3600.0)
    site.person.correct(1)
    for _ in range(3):
        site.processing.process(1)
        site.clock.move(3600.0)
        assert site.job(1).state is JobState.RECEIVED
    ris.failure = None
    site.processing.process(1)
    assert site.job(1).state is JobState.COMPLETED


def test_what_is_being_answered_or_was_stopped_cannot_be_corrected(site: Site) -> None:
    site.arrive(1)
    site.person.correct(1)
    assert site.work.queue[-1] == ("job", 1, 1, Priority.ROUTINE)
    with pytest.raises(NotPossible, match="no results to correct: received"):
        site.person.correct(1)
    site.person.cancel(1)
    with pytest.raises(NotPossible, match="cancelled"):
        site.person.correct(1)
    with pytest.raises(NotPossible, match="no job 7"):
        site.person.correct(7)


def test_a_correction_that_was_cancelled_can_be_taken_up_again(site: Site) -> None:
    site.arrive(1)
    site.person.correct(1)
    site.person.cancel(1)
    site.person.retry(1)
    site.processing.process(1)
    assert site.job(1).state is JobState.COMPLETED
    assert predecessors(site.report(2, "PACS")) == [instance(site.report(1, "PACS"))]
