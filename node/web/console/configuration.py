"""The configuration file: seen, checked, changed; what runs goes on with what it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from node.configuration import ConfigurationFile, difference
from node.domain.audit import Action
from node.domain.errors import ConfigurationError, NotPossible
from node.domain.user import Role
from node.settings import default_text, parse_settings
from node.web.console.gate import Gate, Visit
from node.web.console.pages import HEADERS, Pages

_FORM_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationPage:
    pages: Pages
    gate: Gate
    file: ConfigurationFile | None
    """None where the node runs by the default alone."""
    started_with: str
    """Digest of the file when this process read it."""

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/configuration", self.show, needs=Role.ADMIN),
            self.gate.post(
                "/configuration", self.change, needs=Role.ADMIN, maximum_bytes=_FORM_BYTES
            ),
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
        if self.file is None:
            raise NotPossible("the node runs by the default: start it with --config FILE")
        text = visit.form.get("text", "").replace("\r\n", "\n")
        digest = visit.form.get("digest", "")
        revision = self.file.read()
        try:
            if revision.digest != digest:
                raise NotPossible(
                    "the file was changed by somebody else meanwhile: the difference shows what of "
                    "that your text would take back"
                )
            if visit.form.get("do") == "save":
                self.file.replace(revision, text)
                lines = len(difference(revision.text, text))
                self.gate.note(visit, Action.CONFIGURED, said=f"{lines} lines of difference")
                return RedirectResponse("/configuration", 303, HEADERS)
            parse_settings(text, str(self.file.path), self.file.overrides)
        except (ConfigurationError, NotPossible) as error:
            return self._page(
                visit, text=text, digest=revision.digest, before=revision.text, wrong=error.message
            )
        return self._page(visit, text=text, digest=revision.digest, before=revision.text)

    def _page(
        self, visit: Visit, *, text: str, digest: str, before: str | None = None, wrong: str = ""
    ) -> Response:
        """before: of the file, where it differs from the text."""
        file = self.file
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
            read_only=file.read_only if file is not None else "the node was started without a file",
            locked=() if file is None else file.overrides,
            is_running=digest in ("", self.started_with),
        )
