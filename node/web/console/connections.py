"""Whom the node sends to, tried step by step, and who may call it or was turned away."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from node.domain.caller import Permission, Refusal
from node.domain.errors import ConfigurationError, NotPossible
from node.domain.user import Role
from node.web.console.gate import Gate, Visit, number_of
from node.web.console.pages import HEADERS, Pages
from node.workflow.connection_test import Check, outcome_of
from node.workflow.ports import UnitOfWork

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PORT_DIGITS: Final = 5
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
WHERE: Final = ("ae_title", "host", "port", "tls", "url")
"""Keys of a destination that say where it is."""
_ADDED: Final = {"dicom": ("ae_title", "host", "port", "tls"), "hl7": ("host", "port", "tls")}
"""Those of each protocol that can be added here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A destination of the configuration."""

    described: str
    """Protocol and address, for a person."""
    where: Mapping[str, object]
    """Those of WHERE that it has."""


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
    configured: Callable[[], Mapping[str, Endpoint]]
    """Those that the configuration has now, which a node takes up when it starts.

    Raises ConfigurationError.
    """
    file: ConfigurationFile | None
    callers: Sequence[str]
    """Who may associate, a line each."""
    admission: Callable[[], Admission]
    """Raises ConfigurationError."""
    trial: Trial

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/connections", self.show),
            self.gate.post("/connections", self.add, needs=Role.ADMIN),
            self.gate.post("/connections/test", self.test, needs=Role.OPERATOR),
            self.gate.post("/connections/send", self.send, needs=Role.ADMIN),
            self.gate.post("/connections/change", self.change, needs=Role.ADMIN),
            self.gate.post("/connections/remove", self.remove, needs=Role.ADMIN),
            self.gate.post("/connections/refused/{number}/allow", self.allow, needs=Role.ADMIN),
        ]

    def show(self, visit: Visit) -> Response:
        return self._page(visit, {})

    def test(self, visit: Visit) -> Response:
        """Try the destination of that name, and show each step."""
        return self._try(visit, sends=False)

    def send(self, visit: Visit) -> Response:
        """The same, and then send it results of a made-up patient."""
        return self._try(visit, sends=True)

    def _try(self, visit: Visit, *, sends: bool) -> Response:
        name = self._named(visit)
        steps = list(self.trial(name, sends=sends))
        self.gate.note(visit, Action.TRIED, said=outcome_of(name, steps, sends=sends))
        return self._page(visit, {name: steps})

    def add(self, visit: Visit) -> Response:
        """Put a PACS or a RIS into the configuration file.

        Raises ConfigurationError (a node would not take it), NotPossible, StorageError.
        """
        name = visit.form.get("name", "").strip()
        if not _NAME.fullmatch(name):
            raise NotPossible("a destination's name has 1 to 64 letters, digits, _ and -")
        if name in self.destinations or name in self.configured():
            raise NotPossible(f"there is a destination {name} already")
        self._change(visit, [f"destinations.{name}={_written(visit.form)}"], f"{name} added")
        return RedirectResponse("/connections", 303, HEADERS)

    def change(self, visit: Visit) -> Response:
        """Have a destination be elsewhere; what else it has stays.

        The form has the digest of the file that its page showed. Raises as `add`.
        """
        name = self._named_in_file(visit)
        revision = need_file(self.file).read_as(visit.form.get("revision", ""))
        endpoint = self.configured().get(name)
        if endpoint is None:
            raise NotPossible(f"{name} is not in the configuration any more")
        new = {key: _value(visit.form, key) for key in endpoint.where}
        changed = [key for key in new if new[key] != endpoint.where[key]]
        if changed:
            changes = [f"destinations.{name}.{key}={toml_of(new[key])}" for key in changed]
            said = f"{name} changed: {', '.join(changed)}"
            self._change(visit, changes, said, revision=revision)
        return RedirectResponse("/connections", 303, HEADERS)

    def remove(self, visit: Visit) -> Response:
        """Take a destination out of the configuration file. Raises as `add`."""
        name = self._named_in_file(visit)
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

    def _change(
        self,
        visit: Visit,
        changes: Sequence[str],
        said: str,
        *,
        revision: Revision | None = None,
    ) -> None:
        """revision: that the changes are of; None, that which there is."""
        file = need_file(self.file)
        revision = file.read() if revision is None else revision
        file.replace(revision, file.changed(revision, changes))
        self.gate.note(visit, Action.CONFIGURED, said=said)

    def _named(self, visit: Visit) -> str:
        """The destination that a form names. Raises HTTPException 404, ConfigurationError."""
        name = visit.form.get("name", "")
        if name not in self.destinations and name not in self.configured():
            raise HTTPException(404, "no such destination")
        return name

    def _named_in_file(self, visit: Visit) -> str:
        """The same, of one that can be changed here. Raises NotPossible too."""
        name = self._named(visit)
        if not _NAME.fullmatch(name):
            raise NotPossible("its name is no plain word: change it on the page Configuration")
        return name

    def _page(self, visit: Visit, tried: Mapping[str, Sequence[Check]]) -> Response:
        with self.work.look() as transaction:
            refused = transaction.refused.latest()
        configured: Mapping[str, Endpoint] = {}
        allowed: Sequence[Collection[Permission]] = [()] * len(refused)
        wrong, revision = "", None
        try:
            if self.file is not None:
                revision = self.file.read()  # the first: what is shown is not older
            configured, admission = self.configured(), self.admission()
            allowed = [admission.now(each.refusal) for each in refused]
        except ConfigurationError as error:
            wrong = error.message
        described = {name: each.described for name, each in configured.items()}
        return self.pages.render(
            "connections.html",
            user=visit.user,
            form_token=visit.form_token,
            destinations={**self.destinations, **described},
            running=self.destinations,
            configured=configured,
            wrong=wrong,
            revision="" if revision is None else revision.digest,
            read_only=wrong or read_only_because(self.file),
            tried=tried,
            callers=self.callers,
            refused=list(zip(refused, allowed, strict=True)),
        )


def _written(form: Mapping[str, str]) -> str:
    """A destination as TOML. Raises NotPossible."""
    kind = form.get("kind", "")
    if kind not in _ADDED:
        raise NotPossible("a PACS speaks DICOM, a RIS HL7; others are added in the file")
    fields = {"kind": kind} | {key: _value(form, key) for key in _ADDED[kind]}
    return toml_of({key: value for key, value in fields.items() if value is not False})


def _value(form: Mapping[str, str], key: str) -> object:
    """Of a field, as TOML and JSON alike have it. Raises NotPossible."""
    text = form.get(key, "").strip()
    if key == "tls":
        return bool(text)
    if key == "host" and not _HOST.fullmatch(text):
        raise NotPossible("a host is the name of a machine or its address")
    return int(text) if key == "port" and text.isdecimal() and len(text) <= _PORT_DIGITS else text
