"""Whom the node sends to, tried step by step, and who may call it or was turned away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from node.domain.audit import Action
from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import Pages
from node.workflow.connection_test import Check
from node.workflow.ports import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    work: UnitOfWork
    pages: Pages
    gate: Gate
    destinations: Mapping[str, str]
    """Name and address, as configured."""
    callers: Sequence[str]
    """Who may associate, a line each."""
    trial: Callable[[str], Iterable[Check]]
    """Tries the destination of that name. Raises ConfigurationError."""

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/connections", self.show),
            self.gate.post("/connections/{number}/test", self.test, needs=Role.OPERATOR),
        ]

    def show(self, visit: Visit) -> Response:
        return self._page(visit, {})

    def test(self, visit: Visit) -> Response:
        """Try the destination of that place in the list, and show each step."""
        names = list(self.destinations)
        number = number_of(visit.path["number"])
        if not 1 <= number <= len(names):
            raise HTTPException(404, "no such destination")
        name = names[number - 1]
        steps = list(self.trial(name))
        wrong = next((each.problem for each in steps if each.problem is not None), None)
        self.gate.note(visit, Action.TRIED, said=f"{name}: {wrong or 'all right'}")
        return self._page(visit, {name: steps})

    def _page(self, visit: Visit, tried: Mapping[str, Sequence[Check]]) -> Response:
        with self.work.look() as transaction:
            refused = transaction.refused.latest()
        return self.pages.render(
            "connections.html",
            user=visit.user,
            form_token=visit.form_token,
            destinations=self.destinations,
            tried=tried,
            callers=self.callers,
            refused=refused,
        )
