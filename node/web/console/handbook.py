"""The handbook, as it lies in docs/handbook."""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from node.hypertext import html_of
from node.web.console.gate import Gate, Visit
from node.web.console.pages import HEADERS, Pages

FIRST: Final = "index"
PAGES: Final = {
    FIRST: "Contents",
    "quick-start": "Quick start",
    "connect-a-pacs": "Connect",
    "operations": "Operations",
    "security": "Security",
    "model": "Model and limits",
    "configuration": "Configuration",
    "troubleshooting": "Troubleshooting",
    "tour": "Tour",
}
"""Names of the files, and what they are called above a page. There are no others."""

_PICTURE: Final = re.compile(r"pictures/(?P<name>[a-z-]+)\.png")
_PAGE: Final = re.compile(r"(?P<name>[a-z-]+)\.md(?P<place>#[\w-]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Handbook:
    pages: Pages
    gate: Gate

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/handbook", self.show),
            self.gate.get("/handbook/{page}", self.show),
            self.gate.get("/handbook/pictures/{name}", self.picture),
        ]

    def show(self, visit: Visit) -> Response:
        """Raises HTTPException 404."""
        name = visit.path.get("page", FIRST)
        if name not in PAGES:
            raise HTTPException(404, "no such page")
        return self.pages.render(
            "handbook.html",
            user=visit.user,
            form_token=visit.form_token,
            names=PAGES,
            name=name,
            text=_html(name),
        )

    def picture(self, visit: Visit) -> Response:
        """Raises HTTPException 404."""
        path = f"pictures/{visit.path['name']}"
        file = importlib.resources.files("docs.handbook") / path
        if not _PICTURE.fullmatch(path) or not file.is_file():
            raise HTTPException(404, "no such picture")
        return Response(file.read_bytes(), headers=HEADERS, media_type="image/png")


@cache
def _html(name: str) -> Markup:
    """A page of `PAGES`."""
    file = importlib.resources.files("docs.handbook") / f"{name}.md"
    return Markup(html_of(file.read_text(encoding="utf-8"), _lead))


def _lead(address: str) -> str | None:
    """Pages lead to pages; what lies elsewhere in the repository is not here."""
    if address.startswith("#"):
        return address
    if _PICTURE.fullmatch(address):
        return f"/handbook/{address}"
    found = _PAGE.fullmatch(address)
    if found is None or found["name"] not in PAGES:
        return None
    return f"/handbook/{found['name']}{found['place'] or ''}"
