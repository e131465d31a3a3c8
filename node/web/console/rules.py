"""The rules in their order; an ECG that is dropped on them shows which one decides, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.configuration import (
    ConfigurationFile,
    Revision,
    need_file,
    read_only_because,
    toml_of,
)
from node.domain.audit import Action
from node.domain.delivery import ROUTED_RESULTS, USUAL_RESULTS, Priority, ResultKind
from node.domain.errors import ConfigurationError, InputError, NotPossible
from node.domain.instance import Origin
from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import HEADERS, Pages
from node.workflow.rehearse import Rehearsal
from node.workflow.route import Routing

_LONGEST_NAME: Final = 64
_PATTERNS: Final = ("calling_ae", "called_ae", "sop_class_uid")


class Planned(Protocol):
    """A result that somebody would get."""

    @property
    def destination(self) -> str: ...

    @property
    def at(self) -> str: ...

    @property
    def kind(self) -> ResultKind: ...

    @property
    def form(self) -> str: ...


class Plan(Protocol):
    """What would become of an ECG, as `configured_rehearsal.Plan` has it."""

    @property
    def refused(self) -> str: ...

    @property
    def bundle(self) -> str: ...

    @property
    def found(self) -> Rehearsal: ...

    @property
    def deliveries(self) -> Sequence[Planned]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    pages: Pages
    gate: Gate
    routing: Routing
    """That runs."""
    configured: Callable[[], Routing]
    """That of the configuration now, which a node takes up when it starts.

    Raises ConfigurationError.
    """
    file: ConfigurationFile | None
    called_ae: Sequence[str]
    """AE titles of the node, the usual one first."""
    plan: Callable[[bytes, Origin], Plan]
    """By the configuration now. Raises InputError, ConfigurationError."""
    maximum_bytes: int

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/rules", self.show),
            self.gate.post_file(
                "/rules", self.rehearse, maximum_bytes=self.maximum_bytes, needs=Role.OPERATOR
            ),
            self.gate.post("/rules/add", self.add, needs=Role.ADMIN),
            self.gate.post("/rules/up", self.up, needs=Role.ADMIN),
            self.gate.post("/rules/remove", self.remove, needs=Role.ADMIN),
        ]

    def show(self, visit: Visit) -> Response:
        file, shown, revision, is_written, wrong = self.file, self.routing, None, False, ""
        try:
            if file is not None:
                revision = file.read()  # the first: what is shown is not older
                is_written = file.says(revision, "rules")
            shown = self.configured()
        except ConfigurationError as error:
            wrong = error.message
        return self.pages.render(
            "rules.html",
            user=visit.user,
            form_token=visit.form_token,
            rules=shown.rules,
            is_running=shown.rules == self.routing.rules,
            wrong=wrong,
            read_only=wrong or read_only_because(file),
            revision="" if revision is None else revision.digest,
            is_written=is_written,
            destinations=list(shown.destinations),
            results=[each for each in ResultKind if each in ROUTED_RESULTS],
            usual=USUAL_RESULTS,
            priorities=list(Priority),
            called_ae=self.called_ae,
        )

    def add(self, visit: Visit) -> Response:
        """Put a rule behind the others; where none is written, before one that stays for the rest.

        Raises ConfigurationError (a node would not take it), NotPossible, StorageError.
        """
        file, name = need_file(self.file), visit.form.get("name", "").strip()
        if not name.isprintable() or len(name) > _LONGEST_NAME:
            raise NotPossible(f"a rule's name has {_LONGEST_NAME} characters at most")
        revision = file.read()
        changes = [f"rules+={_written(name, visit.form)}"]
        if not file.says(revision, "rules"):
            rest = {"name": "everything", "destinations": list(self.configured().destinations)}
            changes.append(f"rules+={toml_of(rest)}")
        text = file.changed(revision, changes)
        return self._replace(visit, revision, text, f"rule {name} added")

    def up(self, visit: Visit) -> Response:
        """Have a rule asked before the one before it. Raises as `add`."""
        return self._arrange(visit, moves_up=True)

    def remove(self, visit: Visit) -> Response:
        """Take a rule out of the configuration file. Raises as `add`."""
        return self._arrange(visit, moves_up=False)

    def _arrange(self, visit: Visit, *, moves_up: bool) -> Response:
        """The form has the digest of the file that its page showed, and a rule's place there."""
        file, at = need_file(self.file), number_of(visit.form.get("at", ""))
        revision = file.read_as(visit.form.get("revision", ""))
        rules = self.configured().rules
        if at >= len(rules):
            raise HTTPException(404, "no such rule")
        order = list(range(len(rules)))
        order.pop(at)
        if moves_up:
            order.insert(max(at - 1, 0), at)
        text = file.arranged(revision, "rules", order)
        did = "moved up" if moves_up else "removed"
        return self._replace(visit, revision, text, f"rule {rules[at].name} {did}")

    def _replace(self, visit: Visit, revision: Revision, text: str, said: str) -> Response:
        need_file(self.file).replace(revision, text)
        self.gate.note(visit, Action.CONFIGURED, said=said)
        return RedirectResponse("/rules", 303, HEADERS)

    def rehearse(self, visit: Visit) -> Response:
        """What would become of the file; it is kept nowhere. Raises HTTPException 400."""
        origin = Origin(
            calling_ae=visit.query.get("calling", "").strip() or "SENDER",
            called_ae=visit.query.get("called", "").strip() or self.called_ae[0],
            peer=visit.query.get("address", "").strip() or "127.0.0.1",
        )
        try:
            plan = self.plan(visit.file, origin)
        except InputError as error:
            raise HTTPException(400, error.message) from None
        except ValueError:
            raise HTTPException(400, "that is no address: write it as 192.0.2.5") from None
        decides = next((each.name for each in plan.found.rules if each.decides), "no rule")
        self.gate.note(visit, Action.REHEARSED, said=f"{decides} decides")
        return self.pages.render("plan.html", plan=plan)


def _written(name: str, form: Mapping[str, str]) -> str:
    """A rule as TOML; what is empty is left to the default."""
    fields: dict[str, object] = {"name": name}
    fields |= {key: form[key].strip() for key in _PATTERNS if form.get(key, "").strip()}
    fields["results"] = [each.value for each in ResultKind if f"result-{each.value}" in form]
    fields["destinations"] = [key.removeprefix("to-") for key in form if key.startswith("to-")]
    fields["priority"] = form.get("priority", Priority.ROUTINE.value)
    return toml_of(fields)
