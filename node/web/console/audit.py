"""Who saw or did what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import Pages
from node.workflow.ports import UnitOfWork

_SHOWN: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Shows the last entries, of one user where the query names one."""

    work: UnitOfWork
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        return [self.gate.get("/audit", self.show, needs=Role.ADMIN)]

    def show(self, visit: Visit) -> Response:
        name, before = visit.query.get("user"), visit.query.get("before", "")
        with self.work.look() as transaction:
            names = transaction.audit.names()
            wanted = name if name in names else None
            entries = transaction.audit.latest(
                limit=_SHOWN + 1,
                user_name=wanted,
                before=number_of(before) if before else None,
            )
        return self.pages.render(
            "audit.html",
            user=visit.user,
            form_token=visit.form_token,
            entries=entries[:_SHOWN],
            older=entries[_SHOWN - 1].entry_id if len(entries) > _SHOWN else None,
            names=names,
            name=wanted,
        )
