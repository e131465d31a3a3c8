"""Who is owed which result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from ipaddress import ip_address

from pydicom import Dataset

from node.dicom.attribute_path import AttributePath
from node.domain.delivery import (
    MESSAGE_PROTOCOLS,
    MESSAGES,
    ROUTED_RESULTS,
    USUAL_RESULTS,
    DestinationKind,
    Priority,
    ResultKind,
)
from node.domain.errors import InputError
from node.domain.form import DEFAULT_FORM, CineForm, ReportForm, ResultForm
from node.domain.instance import Origin
from node.fhir.site import Site
from node.hl7.profile import Profile

_OBJECTS = frozenset(ResultKind) - MESSAGES
_CARRIES = {
    DestinationKind.DICOM: _OBJECTS,
    DestinationKind.DICOMWEB: _OBJECTS,
    DestinationKind.HL7: frozenset({ResultKind.ORU}),
    DestinationKind.FHIR: frozenset({ResultKind.FHIR}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A configured receiver of results."""

    name: str
    kind: DestinationKind
    profile: Profile | None = None
    """How an HL7 destination wants its messages."""
    site: Site | None = None
    """What that of a FHIR destination calls things."""
    form: ResultForm = DEFAULT_FORM
    """How an archive, by DICOM or DICOMweb, wants its objects."""
    after_committed: str | None = None
    """The destination that has to commit itself to the results of a job first."""
    ae_title: str | None = None
    host: str | None = None
    """Of a DICOM destination, to know it again among those that send."""

    def takes(self, kind: ResultKind) -> bool:
        """Whether its protocol carries such a result and its form has one."""
        unwanted = {
            ResultKind.CINE: self.form.cine is CineForm.NONE,
            ResultKind.REPORT: self.form.report is ReportForm.NONE,
        }
        return kind in _CARRIES[self.kind] and not unwanted.get(kind, False)

    def is_sender(self, origin: Origin) -> bool:
        """Whether an instance came from there: the AE title, and the address where it is one.

        A host by name is taken for the sender's: better one that is left out than a loop.
        """
        if self.ae_title != origin.calling_ae:
            return False
        try:
            return ip_address(self.host or "") == ip_address(origin.peer)
        except ValueError:
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What rules look at: who brought which kind of instance, and the instance."""

    origin: Origin
    sop_class_uid: str
    dataset: Callable[[], Dataset]
    """Called for each attribute that a rule asks for. Raises InputError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Results of the ECGs that match go to the destinations named. Patterns as in fnmatch."""

    name: str
    calling_ae: str = "*"
    called_ae: str = "*"
    sop_class_uid: str = "*"
    attributes: tuple[tuple[AttributePath, str], ...] = ()
    """Of the ECG: one of the values has to match; "" matches where there is none, "*" any."""
    results: frozenset[ResultKind] = USUAL_RESULTS
    destinations: tuple[str, ...] = ()
    priority: Priority = Priority.ROUTINE
    ecg_to_sender: bool = False
    """Whether the ECG itself goes to a destination also where it came from there."""

    def misfits(self, arrival: Arrival) -> tuple[str, ...]:
        """Why the rule does not match, a reason each; none where it does.

        No reason holds a value of the ECG. Attributes are not looked at where nothing else matches.
        """
        asked = (
            ("calling_ae", arrival.origin.calling_ae, self.calling_ae),
            ("called_ae", arrival.origin.called_ae, self.called_ae),
            ("sop_class_uid", arrival.sop_class_uid, self.sop_class_uid),
        )
        reasons = tuple(
            f"{key} {value} is not {pattern}"
            for key, value, pattern in asked
            if not fnmatchcase(value, pattern)
        )
        return reasons or tuple(self._attribute_misfits(arrival))

    def _attribute_misfits(self, arrival: Arrival) -> Iterator[str]:
        for path, pattern in self.attributes:
            try:
                values = path.values(arrival.dataset())
            except InputError:
                yield f"{path.text} cannot be read"
                continue
            if not values and pattern:
                yield f"{path.text} has no value"
            elif not any(fnmatchcase(value, pattern) for value in values or ("",)):
                yield f"{path.text} is not {pattern or 'without a value'}"


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

    def keepers(self, origin: Origin) -> tuple[Destination, ...]:
        """Those the ECG itself goes to: not back where it came from unless the rule says so."""
        owed = [destination for destination, _ in self.receivers((ResultKind.ECG,))]
        to_sender = self.rule is not None and self.rule.ecg_to_sender
        return tuple(each for each in owed if to_sender or not each.is_sender(origin))

    @property
    def priority(self) -> Priority:
        return Priority.ROUTINE if self.rule is None else self.rule.priority

    def form_for(self, receiver: Destination) -> ResultForm:
        """The form of what a destination gets; of what a message (HL7, FHIR) refers to.

        That is what the first archive beside it (DICOM, DICOMweb) gets, else the default. What the
        rule leaves out is not there: nothing may refer to it.
        """
        archives = [each for each in self.destinations if each.kind not in MESSAGE_PROTOCOLS]
        if receiver.kind not in MESSAGE_PROTOCOLS:
            archives = [receiver]
        form = archives[0].form if archives else DEFAULT_FORM
        results = ROUTED_RESULTS if self.rule is None else self.rule.results
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

    @property
    def after_committed(self) -> dict[str, str]:
        """Destinations that wait, each with the one whose commitment they wait for."""
        return {
            name: each.after_committed
            for name, each in self.destinations.items()
            if each.after_committed is not None
        }

    @property
    def has_priorities(self) -> bool:
        """Whether some ECG may pass others."""
        return any(rule.priority is not Priority.ROUTINE for rule in self.rules)

    @property
    def decides_at_once(self) -> bool:
        """Whether something has to be decided when an ECG comes, before it is processed."""
        return self.has_priorities or any(ResultKind.ECG in rule.results for rule in self.rules)

    @property
    def last_tag(self) -> int:
        """Rules look at nothing of a data set that stands behind it."""
        return max((path.tags[0] for rule in self.rules for path, _ in rule.attributes), default=0)

    def decide(self, arrival: Arrival) -> Decision:
        """By the first rule that matches; without one nobody is owed anything."""
        rule = next((each for each in self.rules if not each.misfits(arrival)), None)
        return Decision(rule=rule, destinations=self._named(rule) if rule else ())

    def decide_for(self, destination: str) -> Decision:
        """By the first rule that names the destination, whatever ECGs it is for."""
        rule = next((each for each in self.rules if destination in each.destinations), None)
        return Decision(rule=rule, destinations=self._named(rule) if rule else ())

    def _named(self, rule: RoutingRule) -> tuple[Destination, ...]:
        return tuple(self.destinations[name] for name in dict.fromkeys(rule.destinations))
