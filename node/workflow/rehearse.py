"""What would become of an ECG: read, judged and routed; nothing is predicted, kept or sent."""

from __future__ import annotations

from dataclasses import dataclass

from node.dicom.attribute import text_of
from node.dicom.part10 import read_part10
from node.dicom.study import read_study
from node.domain.delivery import Priority, ResultKind
from node.domain.ecg import QualityReport
from node.domain.instance import Origin
from node.workflow.answer import judge, results_of_a_prediction
from node.workflow.identity import IdentityPolicy, doubt_without_others
from node.workflow.route import Arrival, Destination, Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """A rule, and what became of it."""

    name: str
    decides: bool
    reasons: tuple[str, ...]
    """Why it does not match; nothing of one that matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    sop_class_uid: str
    quality: QualityReport
    results: tuple[ResultKind, ...]
    """What would be made."""
    rules: tuple[Considered, ...]
    priority: Priority
    owed: tuple[tuple[Destination, ResultKind], ...]
    held: str | None
    """Why no result would be made before a person has released the job. What other ECGs say about
    the patient is not known here."""
    spared: tuple[Destination, ...]
    """Who would get the ECG itself, had it not come from there."""


def rehearse(
    content: bytes,
    *,
    origin: Origin,
    routing: Routing,
    minimum_duration_s: float,
    offers_cine: bool,
    identity: IdentityPolicy,
) -> Rehearsal:
    """As `answer` and the routing after it would decide.

    content: a PS3.10 file. minimum_duration_s, offers_cine: of the bundle that would answer.
    Raises MalformedInstance, UnsupportedInstance (not even a study to report to).
    """
    dataset = read_part10(content)
    study = read_study(dataset)
    sop_class_uid = text_of(dataset, "SOPClassUID")
    _, quality = judge(dataset, minimum_duration_s)
    results: tuple[ResultKind, ...] = (ResultKind.REPORT,)
    if quality.accepted:
        results = results_of_a_prediction(with_cine=offers_cine)
    arrival = Arrival(origin=origin, sop_class_uid=sop_class_uid, dataset=lambda: dataset)
    decided = routing.decide(arrival)
    keepers = decided.keepers(origin)
    return Rehearsal(
        sop_class_uid=sop_class_uid,
        quality=quality,
        results=results,
        rules=tuple(
            Considered(
                name=rule.name,
                decides=rule is decided.rule,
                reasons=rule.misfits(arrival),
            )
            for rule in routing.rules
        ),
        priority=decided.priority,
        held=doubt_without_others(study, identity),
        owed=(
            *((keeper, ResultKind.ECG) for keeper in keepers),
            *decided.receivers(results),
        ),
        spared=tuple(
            destination
            for destination, _ in decided.receivers((ResultKind.ECG,))
            if destination not in keepers
        ),
    )
