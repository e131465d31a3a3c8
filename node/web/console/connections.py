"""Whom the node sends to, tried step by step, and who may call it or was turned away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.configuration import ConfigurationFile
from node.domain.audit import Action
from node.domain.caller import Permission, Refusal
from node.domain.errors import NotPossible
from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import HEADERS, Pages
from node.workflow.connection_test import Check
from node.workflow.ports import UnitOfWork

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")


class Admission(Protocol):
    """What the configuration file says of callers now."""

    def now(self, refusal: Refusal) -> Collection[Permission]: ...

    def changes(self, refusal: Refusal) -> Sequence[str]:
        """That let it in, and nobody else. Raises NotPossible."""
        ...


class Trial(Protocol):
    """Tries the destination of that name. Raises ConfigurationError."""

    def __call__(self, name: str, *, sends: bool) -> Iterable[Check]:
        """sends: results of a made-up patient, which stay there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    work: UnitOfWork
    pages: Pages
    gate: Gate
    destinations: Mapping[str, str]
    """Name and address of those that run."""
    configured: Callable[[], Mapping[str, str]]
    """Of those that the configuration has now, which a node takes up when it starts."""
    file: ConfigurationFile | None
    callers: Sequence[str]
    """Who may associate, a line each."""
    admission: Callable[[], Admission]
    trial: Trial

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/connections", self.show),
            self.gate.post("/connections", self.add, needs=Role.ADMIN),
            self.gate.post("/connections/{number}/test", self.test, needs=Role.OPERATOR),
            self.gate.post("/connections/{number}/send", self.send, needs=Role.ADMIN),
            self.gate.post("/connections/{number}/remove", self.remove, needs=Role.ADMIN),
            self.gate.post("/connections/refused/{number}/allow", self.allow, needs=Role.ADMIN),
        ]

    def show(self, visit: Visit) -> Response:
        return self._page(visit, {})

    def test(self, visit: Visit) -> Response:
        """Try the destination of that place in the list, and show each step."""
        return self._try(visit, sends=False)

    def send(self, visit: Visit) -> Response:
        """The same, and then send it results of a made-up patient."""
        return self._try(visit, sends=True)

    def _try(self, visit: Visit, *, sends: bool) -> Response:
        name = self._named(visit)
        steps = list(self.trial(name, sends=sends))
        wrong = next((each.problem for each in steps if each.problem is not None), None)
        sent = ", with test results" if sends else ""
        self.gate.note(visit, Action.TRIED, said=f"{name}{sent}: {wrong or 'all right'}")
        return self._page(visit, {name: steps})

    def add(self, visit: Visit) -> Response:
        """Put a PACS or a RIS into the configuration file.

        Raises ConfigurationError (a node would not take it), NotPossible, StorageError.
        """
        name = visit.form.get("name", "").strip()
        if not _NAME.fullmatch(name):
            raise NotPossible("a destination's name has 1 to 64 letters, digits, _ and -")
        if name in self._all():
            raise NotPossible(f"there is a destination {name} already")
        self._change(visit, [f"destinations.{name}={_written(visit.form)}"], f"{name} added")
        return RedirectResponse("/connections", 303, HEADERS)

    def remove(self, visit: Visit) -> Response:
        """Take a destination out of the configuration file. Raises as `add`."""
        name = self._named(visit)
        self._change(visit, [f"destinations.{name}"], f"{name} removed")
        return RedirectResponse("/connections", 303, HEADERS)

    def allow(self, visit: Visit) -> Response:
        """Put an entry for a refused caller into the configuration file. Raises as `add`."""
        with self.work.look() as transaction:
            caller = transaction.refused.get(number_of(visit.path["number"]))
        if caller is None:
            raise HTTPException(404, "no such caller")
        refusal = caller.refusal
        changes = self.admission().changes(refusal)
        if not changes:
            raise NotPossible(
                f"the configuration admits it already; it was refused because: {refusal.reason}"
            )
        said = f"{refusal.calling_ae} at {refusal.peer} may call {refusal.called_ae}"
        self._change(visit, changes, said)
        return RedirectResponse("/connections", 303, HEADERS)

    def _change(self, visit: Visit, changes: Sequence[str], said: str) -> None:
        if self.file is None:
            raise NotPossible("the node runs by the default: start it with --config FILE")
        revision = self.file.read()
        self.file.replace(revision, self.file.changed(revision, changes))
        self.gate.note(visit, Action.CONFIGURED, said=said)

    def _all(self) -> dict[str, str]:
        return {**self.destinations, **self.configured()}

    def _named(self, visit: Visit) -> str:
        """The destination of that place in the list. Raises HTTPException 404."""
        names, number = list(self._all()), number_of(visit.path["number"])
        if not 1 <= number <= len(names):
            raise HTTPException(404, "no such destination")
        return names[number - 1]

    def _page(self, visit: Visit, tried: Mapping[str, Sequence[Check]]) -> Response:
        with self.work.look() as transaction:
            refused = transaction.refused.latest()
        admission = self.admission()
        return self.pages.render(
            "connections.html",
            user=visit.user,
            form_token=visit.form_token,
            destinations=self._all(),
            running=self.destinations,
            configured=self.configured(),
            read_only=(
                self.file.read_only if self.file is not None else "the node was started without one"
            ),
            tried=tried,
            callers=self.callers,
            refused=[(each, admission.now(each.refusal)) for each in refused],
        )


def _written(form: Mapping[str, str]) -> str:
    """A destination as TOML. Raises NotPossible."""
    kind, port = form.get("kind", ""), form.get("port", "").strip()
    host = form.get("host", "").strip()
    if not _HOST.fullmatch(host):
        raise NotPossible("a host is the name of a machine or its address")
    fields = {"kind": kind, "host": host}
    if kind == "dicom":
        fields["ae_title"] = form.get("ae_title", "").strip()
    written = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    written.append(f"port = {port if port.isdecimal() else json.dumps(port)}")
    if form.get("tls"):
        written.append("tls = true")
    return "{" + ", ".join(written) + "}"
