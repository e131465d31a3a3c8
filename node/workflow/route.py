"""Who is owed which result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from node.domain.delivery import USUAL_RESULTS, DestinationKind, ResultKind
from node.domain.form import DEFAULT_FORM, CineForm, ReportForm, ResultForm
from node.domain.instance import Origin
from node.hl7.profile import Profile

_OBJECTS = frozenset({ResultKind.CINE, ResultKind.SUMMARY, ResultKind.PDF, ResultKind.REPORT})
_CARRIES = {
    DestinationKind.DICOM: _OBJECTS,
    DestinationKind.DICOMWEB: _OBJECTS,
    DestinationKind.HL7: frozenset({ResultKind.ORU}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A configured receiver of results."""

    name: str
    kind: DestinationKind
    profile: Profile | None = None
    """How an HL7 destination wants its messages."""
    form: ResultForm = DEFAULT_FORM
    """How an archive, by DICOM or DICOMweb, wants its objects."""
    after_committed: str | None = None
    """The destination that has to commit itself to the results of a job first."""

    def takes(self, kind: ResultKind) -> bool:
        """Whether its protocol carries such a result and its form has one."""
        unwanted = {
            ResultKind.CINE: self.form.cine is CineForm.NONE,
            ResultKind.REPORT: self.form.report is ReportForm.NONE,
        }
        return kind in _CARRIES[self.kind] and not unwanted.get(kind, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Results of the ECGs that match go to the destinations named. Patterns as in fnmatch."""

    name: str
    calling_ae: str = "*"
    called_ae: str = "*"
    sop_class_uid: str = "*"
    results: frozenset[ResultKind] = USUAL_RESULTS
    destinations: tuple[str, ...] = ()

    def misfits(self, origin: Origin, sop_class_uid: str) -> tuple[str, ...]:
        """Why the rule does not match, a reason each; none where it does."""
        asked = (
            ("calling_ae", origin.calling_ae, self.calling_ae),
            ("called_ae", origin.called_ae, self.called_ae),
            ("sop_class_uid", sop_class_uid, self.sop_class_uid),
        )
        return tuple(
            f"{key} {value} is not {pattern}"
            for key, value, pattern in asked
            if not fnmatchcase(value, pattern)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The rule that decides about one ECG, with the destinations it names; without a rule none."""

    rule: RoutingRule | None
    destinations: tuple[Destination, ...] = ()

    def receivers(self, kinds: Iterable[ResultKind]) -> tuple[tuple[Destination, ResultKind], ...]:
        """Each (destination, kind of result) owed, once, in the order of the rule.

        A destination only gets what its protocol carries and its form has.
        """
        if self.rule is None:
            return ()
        wanted = [kind for kind in kinds if kind in self.rule.results]
        return tuple(
            (destination, kind)
            for destination in self.destinations
            for kind in wanted
            if destination.takes(kind)
        )

    def form_for(self, receiver: Destination) -> ResultForm:
        """The form of what a destination gets; of what an HL7 message refers to.

        That is what the first archive beside it (DICOM, DICOMweb) gets, else the default. What the
        rule leaves out is not there: nothing may refer to it.
        """
        archives = [each for each in self.destinations if each.kind is not DestinationKind.HL7]
        if receiver.kind is not DestinationKind.HL7:
            archives = [receiver]
        form = archives[0].form if archives else DEFAULT_FORM
        results = frozenset(ResultKind) if self.rule is None else self.rule.results
        if ResultKind.CINE not in results:
            form = replace(form, cine=CineForm.NONE)
        if ResultKind.REPORT not in results:
            form = replace(form, report=ReportForm.NONE)
        return form


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """All rules with the destinations they name."""

    rules: Sequence[RoutingRule]
    destinations: Mapping[str, Destination]

    def decide(self, origin: Origin, sop_class_uid: str) -> Decision:
        """By the first rule that matches; without one nobody is owed anything."""
        rule = next((each for each in self.rules if not each.misfits(origin, sop_class_uid)), None)
        return Decision(rule=rule, destinations=self._named(rule) if rule else ())

    def decide_for(self, destination: str) -> Decision:
        """By the first rule that names the destination, whatever ECGs it is for."""
        rule = next((each for each in self.rules if destination in each.destinations), None)
        return Decision(rule=rule, destinations=self._named(rule) if rule else ())

    def _named(self, rule: RoutingRule) -> tuple[Destination, ...]:
        return tuple(self.destinations[name] for name in dict.fromkeys(rule.destinations))
