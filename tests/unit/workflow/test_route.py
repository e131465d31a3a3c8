"""Who is owed which result."""

from __future__ import annotations

from dataclasses import replace

from node.domain.delivery import DestinationKind, ResultKind
from node.domain.form import CineForm, ReportForm, ResultForm
from node.domain.instance import Origin
from node.workflow.route import Decision, Destination, Routing, RoutingRule

ORIGIN = Origin(calling_ae="ED_CART", called_ae="CARDIONODE", peer="127.0.0.1")
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
PACS = Destination(name="PACS", kind=DestinationKind.DICOM)
VNA = Destination(name="VNA", kind=DestinationKind.DICOM)
RIS = Destination(name="RIS", kind=DestinationKind.HL7)
WEB = Destination(name="WEB", kind=DestinationKind.DICOMWEB)


def owed(*rules: RoutingRule) -> list[tuple[str, str]]:
    known = {each.name: each for each in (PACS, VNA, RIS, WEB)}
    decided = Routing(rules=rules, destinations=known).decide(ORIGIN, ECG)
    return [(receiver.name, kind.value) for receiver, kind in decided.receivers(ResultKind)]


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
