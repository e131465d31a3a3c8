"""What was received by HL7 and what was sent by any protocol: which, when, and how it went."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.domain.audit import Action, Actor
from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import HEADERS, Pages
from node.workflow.ports import ObjectStore, UnitOfWork
from node.workflow.reading import message_text

_SHOWN: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    work: UnitOfWork
    spool: ObjectStore
    destinations: Collection[str]
    """Names of those that run."""
    replay: Callable[[int, Actor], str]
    """Uses one that was not. Raises NotPossible."""
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/messages", self.list),
            self.gate.get("/messages/sent", self.sent),
            self.gate.get("/messages/{number}", self.show),
            self.gate.post("/messages/{number}/replay", self.use, needs=Role.OPERATOR),
        ]

    def sent(self, visit: Visit) -> Response:
        """The last attempts first, at one destination where the query names it."""
        to, before = visit.query.get("to"), visit.query.get("before", "")
        with self.work.look() as transaction:
            found = transaction.outbox.transmissions(
                limit=_SHOWN + 1,
                destination=to if to in self.destinations else None,
                before=number_of(before) if before else None,
            )
        return self.pages.render(
            "sent.html",
            user=visit.user,
            form_token=visit.form_token,
            transmissions=found[:_SHOWN],
            older=found[_SHOWN - 1].attempt_id if len(found) > _SHOWN else None,
            names=sorted(self.destinations),
            to=to if to in self.destinations else None,
        )

    def list(self, visit: Visit) -> Response:
        """The last received first: nothing of what they say."""
        before = visit.query.get("before", "")
        with self.work.look() as transaction:
            found = transaction.messages.latest(
                limit=_SHOWN + 1, before=number_of(before) if before else None
            )
        return self.pages.render(
            "messages.html",
            user=visit.user,
            form_token=visit.form_token,
            messages=found[:_SHOWN],
            older=found[_SHOWN - 1].message_id if len(found) > _SHOWN else None,
        )

    def show(self, visit: Visit) -> Response:
        """One, as it came, a segment a line. Who looks at it is noted first."""
        with self.work.look() as transaction:
            message = transaction.messages.get(number_of(visit.path["number"]))
        if message is None:
            raise HTTPException(404, "there is no such message here, or not any more")
        said = f"message {message.message_id}, {message.message_type}"
        self.gate.note(visit, Action.READ, said=said)
        content = self.spool.get(message.content_digest)
        return self.pages.render(
            "message.html",
            user=visit.user,
            form_token=visit.form_token,
            message=message,
            text=message_text(content, unmarked=message.unmarked_charset),
        )

    def use(self, visit: Visit) -> Response:
        """Have a message used that was not. Raises NotPossible."""
        number = number_of(visit.path["number"])
        self.replay(number, visit.actor)
        return RedirectResponse(f"/messages/{number}", 303, HEADERS)
