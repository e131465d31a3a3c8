"""What is owed to whom for one answered ECG; what cannot be made for one does not keep others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from node.dicom.template import Templates
from node.domain.delivery import MESSAGES, Delivery, ResultKind, ResultObject
from node.domain.errors import CardioNodeError, Kind
from node.domain.form import ResultForm
from node.workflow.answer import Answer, compose
from node.workflow.compose import compose_message, compose_transaction
from node.workflow.ports import ObjectStore, Run
from node.workflow.replacement import Replaced, number_of, standing_messages, take_back
from node.workflow.route import Arrival, Decision, Destination, Routing

if TYPE_CHECKING:
    from node.store.received import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """Result objects, each with the destination it is owed to, in the order they are sent."""

    results: list[tuple[Destination, ResultObject]]
    missing: dict[str, CardioNodeError]
    """Destinations that get nothing of it, and why."""

    @property
    def reasons(self) -> str:
        return "; ".join(f"{name}: {error.message}" for name, error in self.missing.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Owing:
    """Composes what rules send where."""

    templates: Templates
    routing: Routing
    spool: ObjectStore
    run: Run

    def of(self, job: Job, found: Answer, replaced: Replaced) -> Owed:
        """All that is owed for an answer; each form is composed once.

        Raises the first error where nothing could be made, and every transient one.
        """
        decided = self.routing.decide(
            Arrival(
                origin=job.origin,
                sop_class_uid=job.sop_class_uid,
                dataset=lambda: found.source.dataset,
            )
        )
        making = _Making(owing=self, decided=decided, found=found, replaced=replaced)
        receivers = decided.receivers(found.kinds)
        owed = Owed(results=[], missing={})
        for receiver, kind in receivers:
            if receiver.name in owed.missing:
                continue
            try:
                made = making.of(receiver, kind)
            except CardioNodeError as error:
                if error.kind is Kind.TRANSIENT:
                    raise
                owed.missing[receiver.name] = error
            else:
                owed.results.extend((receiver, each) for each in made)
        self._keep_back(owed)
        if owed.missing and not owed.results:
            raise next(iter(owed.missing.values()))
        # What no new message stands for, under its number, is wrong from now on, and said so first.
        receiver_of = self.routing.destinations.get
        owed.results[:0] = [
            (taker, take_back(each, self.spool, job.revision))
            for (name, _), each in making.standing.items()
            if (taker := receiver_of(name)) is not None
        ]
        return owed

    def _keep_back(self, owed: Owed) -> None:
        """What waits for the commitment to results that could not be made is missing too."""
        for receiver, _ in list(owed.results):
            first = receiver.after_committed
            if first in owed.missing and receiver.name not in owed.missing:
                owed.missing[receiver.name] = owed.missing[first]
        owed.results[:] = [pair for pair in owed.results if pair[0].name not in owed.missing]


class _Making:
    """The results of one answer, made when they are asked for."""

    def __init__(
        self, *, owing: Owing, decided: Decision, found: Answer, replaced: Replaced
    ) -> None:
        self._owing = owing
        self._decided = decided
        self._found = found
        self._replaced = replaced
        self._archives: dict[ResultForm, set[str]] = {}
        receivers = decided.receivers(found.kinds)
        for receiver, kind in receivers:
            if kind not in MESSAGES:
                self._archives.setdefault(decided.form_for(receiver), set()).add(receiver.name)
        self._wanted = frozenset(kind for _, kind in receivers)
        self._objects: dict[ResultForm, tuple[ResultObject, ...] | CardioNodeError] = {}
        self.standing = standing_messages(replaced.deliveries, owing.spool)
        """Earlier messages that none of those made so far stands for."""

    def of(self, receiver: Destination, kind: ResultKind) -> Sequence[ResultObject]:
        """Raises what composing raises, the same again where it failed before."""
        form = self._decided.form_for(receiver)
        if kind not in MESSAGES:
            return [each for each in self._in(form) if each.kind is kind]
        message = self._message(form, receiver)
        number = number_of(kind, message.content)
        if (earlier := self.standing.pop((receiver.name, number), None)) is not None:
            message = self._message(form, receiver, replaces=earlier)
        return [message]

    def _answer(self, form: ResultForm) -> Answer:
        """With the report that the one in this form replaces."""
        predecessor = self._replaced.report_of(self._archives.get(form, ()))
        return replace(self._found, source=replace(self._found.source, predecessor=predecessor))

    def _in(self, form: ResultForm) -> tuple[ResultObject, ...]:
        if form not in self._objects:
            owing = self._owing
            try:
                self._objects[form] = compose(
                    self._answer(form), owing.templates, form, owing.run, self._wanted
                )
            except CardioNodeError as error:
                self._objects[form] = error
        made = self._objects[form]
        if isinstance(made, CardioNodeError):
            raise made
        return made

    def _message(
        self, form: ResultForm, receiver: Destination, *, replaces: Delivery | None = None
    ) -> ResultObject:
        """replaces: what the receiver was sent before under the same number."""
        found, spool = self._answer(form), self._owing.spool
        if found.prediction is None or found.record is None:
            raise AssertionError("only a prediction is told in a message")
        composing: Callable[..., ResultObject]
        if receiver.site is not None:
            composing = partial(
                compose_transaction,
                site=receiver.site,
                replaces=None if replaces is None else spool.get(replaces.content_digest),
            )
        elif receiver.profile is not None:
            composing = partial(
                compose_message, profile=receiver.profile, is_correction=replaces is not None
            )
        else:
            raise AssertionError("who takes messages has a profile or a site")
        composing = partial(composing, destination=receiver.name, templates=self._owing.templates)
        return self._owing.run(composing, found.prediction, found.record, found.source, form)
