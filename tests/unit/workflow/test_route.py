"""Who is owed which result."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom import Dataset

from node.dicom.attribute_path import parse_attribute_path
from node.domain.delivery import DestinationKind, Priority, ResultKind
from node.domain.errors import MalformedInstance
from node.domain.form import CineForm, ReportForm, ResultForm
from node.domain.instance import Origin
from node.workflow.route import Arrival, Decision, Destination, Routing, RoutingRule

ORIGIN = Origin(calling_ae="ED_CART", called_ae="CARDIONODE", peer="127.0.0.1")
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
PACS = Destination(name="PACS", kind=DestinationKind.DICOM)
VNA = Destination(name="VNA", kind=DestinationKind.DICOM)
RIS = Destination(name="RIS", kind=DestinationKind.HL7)
WEB = Destination(name="WEB", kind=DestinationKind.DICOMWEB)


def unread() -> Dataset:
    raise AssertionError("no rule asks for attributes")


ARRIVAL = Arrival(origin=ORIGIN, sop_class_uid=ECG, dataset=unread)


def owed(*rules: RoutingRule) -> list[tuple[str, str]]:
    known = {each.name: each for each in (PACS, VNA, RIS, WEB)}
    decided = Routing(rules=rules, destinations=known).decide(ARRIVAL)
    return [(receiver.name, kind.value) for receiver, kind in decided.receivers(ResultKind)]


def rule_for(**attributes: str) -> RoutingRule:
    paths = tuple((parse_attribute_path(path), pattern) for path, pattern in attributes.items())
    return RoutingRule(name="r", attributes=paths)


def misfits(rule: RoutingRule, **attributes: object) -> tuple[str, ...]:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return rule.misfits(replace(ARRIVAL, dataset=lambda: dataset))


def test_a_destination_gets_what_its_protocol_carries() -> None:
    rule = RoutingRule(name="all", destinations=("PACS", "RIS"))
    assert owed(rule) == [
        ("PACS", "cine"),
        ("PACS", "summary"),
        ("PACS", "report"),
        ("RIS", "oru"),
    ]
    web = RoutingRule(name="web", destinations=("WEB",))
    assert owed(web) == [("WEB", "cine"), ("WEB", "summary"), ("WEB", "report")]


def test_a_document_is_sent_only_where_a_rule_names_it() -> None:
    rule = RoutingRule(name="r", results=frozenset({ResultKind.PDF}), destinations=("PACS", "RIS"))
    assert owed(rule) == [("PACS", "pdf")]


def test_the_first_rule_that_matches_decides() -> None:
    first = RoutingRule(name="ED", calling_ae="ED_*", destinations=("VNA",))
    second = RoutingRule(name="all", destinations=("PACS",))
    assert {name for name, _ in owed(first, second)} == {"VNA"}


def test_a_rule_may_want_only_some_results() -> None:
    rule = RoutingRule(
        name="r", results=frozenset({ResultKind.REPORT}), destinations=("PACS", "RIS")
    )
    assert owed(rule) == [("PACS", "report")]


def test_a_destination_named_twice_is_served_once() -> None:
    rule = RoutingRule(name="r", destinations=("RIS", "RIS"))
    assert owed(rule) == [("RIS", "oru")]


def test_no_matching_rule_sends_nothing() -> None:
    assert owed(RoutingRule(name="r", called_ae="OTHER", destinations=("PACS",))) == []


def test_a_destination_that_wants_no_report_is_not_owed_one() -> None:
    pictures = replace(PACS, form=ResultForm(report=ReportForm.NONE))
    decided = Decision(rule=RoutingRule(name="r"), destinations=(pictures, VNA))
    assert [(each.name, kind.value) for each, kind in decided.receivers(ResultKind)] == [
        ("PACS", "cine"),
        ("PACS", "summary"),
        ("VNA", "cine"),
        ("VNA", "summary"),
        ("VNA", "report"),
    ]


def test_what_a_rule_leaves_out_is_referred_to_by_nobody() -> None:
    for results, cine, report in (
        ({ResultKind.REPORT, ResultKind.ORU}, CineForm.NONE, ReportForm.COMPREHENSIVE_3D),
        ({ResultKind.CINE, ResultKind.ORU}, CineForm.GRAYSCALE, ReportForm.NONE),
    ):
        rule = RoutingRule(name="r", results=frozenset(results))
        decided = Decision(rule=rule, destinations=(PACS, RIS))
        for receiver in (PACS, RIS):
            assert decided.form_for(receiver) == ResultForm(cine=cine, report=report)


def test_a_rule_matches_by_any_value_of_an_attribute() -> None:
    rule = rule_for(InstitutionalDepartmentName="ED*")
    assert misfits(rule, InstitutionalDepartmentName="ED WEST") == ()
    assert misfits(rule, InstitutionalDepartmentName=["CCU", "ED"]) == ()
    assert misfits(rule, InstitutionalDepartmentName="ed west") != ()


def test_all_attributes_of_a_rule_have_to_match() -> None:
    rule = rule_for(Manufacturer="A*", Modality="ECG")
    assert misfits(rule, Manufacturer="Acme", Modality="ECG") == ()
    assert misfits(rule, Manufacturer="Acme", Modality="HD") == ("Modality is not ECG",)


@pytest.mark.parametrize("attributes", [{}, {"PatientID": ""}])
def test_an_attribute_without_a_value_only_matches_the_empty_pattern(
    attributes: dict[str, object],
) -> None:
    assert misfits(rule_for(PatientID=""), **attributes) == ()
    for pattern in ("*", "X", "?"):
        assert misfits(rule_for(PatientID=pattern), **attributes) == ("PatientID has no value",)
    assert misfits(rule_for(PatientID=""), PatientID="7") == ("PatientID is not without a value",)


def test_no_reason_holds_a_value_of_the_ecg() -> None:
    said = misfits(rule_for(PatientName="A*", PatientID=""), PatientName="Doe^J", PatientID="4711")
    assert len(said) == 2
    assert "Doe" not in " ".join(said)
    assert "4711" not in " ".join(said)


def test_what_cannot_be_read_does_not_match() -> None:
    def unreadable() -> Dataset:
        raise MalformedInstance("cut short")

    arrival = replace(ARRIVAL, dataset=unreadable)
    assert rule_for(Modality="*").misfits(arrival) == ("Modality cannot be read",)


def test_attributes_are_not_read_where_the_sender_does_not_match() -> None:
    rule = replace(rule_for(Modality="ECG"), calling_ae="OTHER")
    assert rule.misfits(ARRIVAL) == ("calling_ae ED_CART is not OTHER",)


def test_the_ecg_itself_is_sent_only_where_a_rule_names_it() -> None:
    ecg = frozenset({ResultKind.ECG})
    rule = RoutingRule(name="r", results=ecg, destinations=("PACS", "WEB", "RIS"))
    assert owed(rule) == [("PACS", "ecg"), ("WEB", "ecg")]
    assert ("PACS", "ecg") not in owed(RoutingRule(name="r", destinations=("PACS",)))


@pytest.mark.parametrize(
    ("ae_title", "host", "goes"),
    [
        ("ED_CART", "127.0.0.1", False),
        ("ED_CART", "192.0.2.7", True),
        ("VNA", "127.0.0.1", True),
        ("ED_CART", "cart.example.org", False),  # by name: taken for the sender
    ],
)
def test_the_ecg_does_not_go_back_to_where_it_came_from_unless_asked_for(
    ae_title: str, host: str, goes: bool
) -> None:
    rule = RoutingRule(name="r", results=frozenset({ResultKind.ECG}))
    there = replace(PACS, ae_title=ae_title, host=host)
    decided = Decision(rule=rule, destinations=(there,))
    assert (decided.keepers(ORIGIN) == (there,)) is goes
    asked = replace(decided, rule=replace(rule, ecg_to_sender=True))
    assert asked.keepers(ORIGIN) == (there,)


def test_only_priorities_and_the_ecg_itself_are_decided_at_once() -> None:
    plain = RoutingRule(name="plain")
    stat = RoutingRule(name="stat", priority=Priority.STAT)
    passing_on = RoutingRule(name="on", results=frozenset({ResultKind.ECG}))
    assert [
        Routing(rules=[plain, each], destinations={}).decides_at_once
        for each in (plain, stat, passing_on)
    ] == [False, True, True]
