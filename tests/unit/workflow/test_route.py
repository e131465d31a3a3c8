"""Who is owed which result."""

from __future__ import annotations

from node.domain.delivery import DestinationKind, ResultKind
from node.domain.instance import Origin
from node.workflow.route import Destination, Routing, RoutingRule

ORIGIN = Origin(calling_ae="ED_CART", called_ae="CARDIONODE", peer="127.0.0.1")
ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
PACS = Destination(name="PACS", kind=DestinationKind.DICOM)
VNA = Destination(name="VNA", kind=DestinationKind.DICOM)
RIS = Destination(name="RIS", kind=DestinationKind.HL7)
WEB = Destination(name="WEB", kind=DestinationKind.DICOMWEB)


def owed(*rules: RoutingRule) -> list[tuple[str, str]]:
    known = {each.name: each for each in (PACS, VNA, RIS, WEB)}
    routing = Routing(rules=rules, destinations=known)
    return [
        (receiver.name, kind.value) for receiver, kind in routing.receivers(ORIGIN, ECG, ResultKind)
    ]


def test_a_destination_gets_what_its_protocol_carries() -> None:
    rule = RoutingRule(name="all", destinations=("PACS", "RIS"))
    assert owed(rule) == [("PACS", "cine"), ("PACS", "report"), ("RIS", "oru")]
    web = RoutingRule(name="web", destinations=("WEB",))
    assert owed(web) == [("WEB", "cine"), ("WEB", "report")]


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
