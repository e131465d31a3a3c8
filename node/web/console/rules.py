"""The rules in their order; an ECG that is dropped on them shows which one decides, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from node.domain.audit import Action
from node.domain.delivery import ResultKind
from node.domain.errors import InputError
from node.domain.instance import Origin
from node.domain.user import Role
from node.web.console.gate import Gate, Visit
from node.web.console.pages import Pages
from node.workflow.rehearse import Rehearsal
from node.workflow.route import Routing


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
    called_ae: Sequence[str]
    """AE titles of the node, the usual one first."""
    plan: Callable[[bytes, Origin], Plan]
    """Raises InputError, ConfigurationError."""
    maximum_bytes: int

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/rules", self.show),
            self.gate.post_file(
                "/rules", self.rehearse, maximum_bytes=self.maximum_bytes, needs=Role.OPERATOR
            ),
        ]

    def show(self, visit: Visit) -> Response:
        return self.pages.render(
            "rules.html",
            user=visit.user,
            form_token=visit.form_token,
            rules=self.routing.rules,
            called_ae=self.called_ae,
        )

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
