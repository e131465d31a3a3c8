"""Who is owed which result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from node.domain.delivery import DestinationKind, ResultKind
from node.domain.instance import Origin
from node.hl7.profile import Profile

_CARRIES = {
    DestinationKind.DICOM: frozenset({ResultKind.CINE, ResultKind.REPORT}),
    DestinationKind.DICOMWEB: frozenset({ResultKind.CINE, ResultKind.REPORT}),
    DestinationKind.HL7: frozenset({ResultKind.ORU}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A configured receiver of results."""

    name: str
    kind: DestinationKind
    profile: Profile | None = None
    """How an HL7 destination wants its messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """Results of the ECGs that match go to the destinations named. Patterns as in fnmatch."""

    name: str
    calling_ae: str = "*"
    called_ae: str = "*"
    sop_class_uid: str = "*"
    results: frozenset[ResultKind] = frozenset(ResultKind)
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
class Routing:
    """All rules with the destinations they name."""

    rules: Sequence[RoutingRule]
    destinations: Mapping[str, Destination]

    def deciding(self, origin: Origin, sop_class_uid: str) -> RoutingRule | None:
        """The first rule that matches; None: nobody is owed anything."""
        return next((rule for rule in self.rules if not rule.misfits(origin, sop_class_uid)), None)

    def receivers(
        self, origin: Origin, sop_class_uid: str, kinds: Iterable[ResultKind]
    ) -> tuple[tuple[Destination, ResultKind], ...]:
        """Each (destination, kind of result) owed, once, in the order of the rules.

        The first rule that matches decides; a destination only gets what its protocol carries.
        """
        rule = self.deciding(origin, sop_class_uid)
        if rule is None:
            return ()
        named = [self.destinations[name] for name in dict.fromkeys(rule.destinations)]
        return tuple(
            (destination, kind)
            for destination in named
            for kind in kinds
            if kind in rule.results and kind in _CARRIES[destination.kind]
        )
