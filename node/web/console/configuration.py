"""The configuration file: seen, checked, changed, and taken up by the process that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.configuration import ConfigurationFile, difference, need_file, read_only_because
from node.domain.audit import Action
from node.domain.errors import ConfigurationError, NotPossible
from node.domain.user import Role
from node.settings import default_text, parse_settings
from node.web.console.gate import Gate, Visit
from node.web.console.pages import HEADERS, Pages
from node.workflow.ports import UnitOfWork

_FORM_BYTES: Final = 1_000_000


class Renewal(Protocol):
    """Has the process start anew by what the file says."""

    def prove(self) -> None:
        """Pass where a node could start by it. Raises ConfigurationError, NotPossible."""

    def start_anew(self) -> None:
        """Returns at once; requests that are being answered are answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPage:
    pages: Pages
    gate: Gate
    file: ConfigurationFile | None
    """None where the node runs by the default alone."""
    renewal: Renewal | None
    started_by: str
    """Digest of the file when this process read it; empty without one."""
    work: UnitOfWork

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/configuration", self.show, needs=Role.ADMIN),
            self.gate.post(
                "/configuration", self.change, needs=Role.ADMIN, maximum_bytes=_FORM_BYTES
            ),
            self.gate.post("/configuration/take-up", self.take_up, needs=Role.ADMIN),
        ]

    def show(self, visit: Visit) -> Response:
        if self.file is None:
            return self._page(visit, text=default_text(), digest="")
        revision = self.file.read()
        return self._page(visit, text=revision.text, digest=revision.digest)

    def change(self, visit: Visit) -> Response:
        """See what would change, and whether a node would take it; or have it changed.

        Raises NotPossible (there is no file), StorageError.
        """
        file = need_file(self.file)
        text = visit.form.get("text", "").replace("\r\n", "\n")
        digest = visit.form.get("digest", "")
        revision = file.read()
        try:
            if revision.digest != digest:
                raise NotPossible(
                    "the file was changed by somebody else meanwhile: the difference shows what of "
                    "that your text would take back"
                )
            if visit.form.get("do") == "save":
                file.replace(revision, text)
                lines = len(difference(revision.text, text))
                self.gate.note(visit, Action.CONFIGURED, said=f"{lines} lines of difference")
                return RedirectResponse("/configuration", 303, HEADERS)
            parse_settings(text, str(file.path), file.overrides)
        except (ConfigurationError, NotPossible) as error:
            return self._page(
                visit, text=text, digest=revision.digest, before=revision.text, wrong=error.message
            )
        return self._page(visit, text=text, digest=revision.digest, before=revision.text)

    def take_up(self, visit: Visit) -> Response:
        """Have the process start anew, where the file will do: until then the old one goes on.

        Raises ConfigurationError, NotPossible, StorageError.
        """
        if self.renewal is None:
            raise NotPossible("this process cannot start itself anew: start it again by hand")
        self.renewal.prove()
        self.gate.note(visit, Action.TOOK_UP)
        self.renewal.start_anew()
        return self.pages.render(
            "renewal.html", user=visit.user, form_token=visit.form_token, status_code=202
        )

    def _page(
        self, visit: Visit, *, text: str, digest: str, before: str | None = None, wrong: str = ""
    ) -> Response:
        """before: of the file, where it differs from the text."""
        file = self.file
        file_digest = "" if file is None else file.read().digest
        with self.work.look() as transaction:
            hosts = transaction.hosts.all()
        return self.pages.render(
            "configuration.html",
            user=visit.user,
            form_token=visit.form_token,
            status_code=409 if wrong else 200,
            path=None if file is None else str(file.path),
            text=text,
            digest=digest,
            difference=None if before is None else difference(before, text),
            wrong=wrong,
            read_only=read_only_because(file),
            locked=() if file is None else file.overrides,
            is_running=digest in ("", self.started_by),
            hosts=hosts,
            file_digest=file_digest,
        )
