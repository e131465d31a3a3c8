"""What answers here: which bundle, on what, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from node.domain.prediction import ModelIdentity
from node.web.console.gate import Gate, Visit
from node.web.console.pages import Pages


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """A bundle that is served."""

    identity: ModelIdentity
    reason: str
    """Why it is this runtime's; nothing where the first choice serves."""
    fell_back: bool
    offers: str
    licence: str
    card: str
    """Its model card, Markdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    pages: Pages
    gate: Gate
    models: Sequence[ShownModel]

    @property
    def routes(self) -> list[Route]:
        return [self.gate.get("/model", self.show)]

    def show(self, visit: Visit) -> Response:
        # What is HTML in a card stays text: a bundle may come from anywhere.
        markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        return self.pages.render(
            "model.html",
            user=visit.user,
            form_token=visit.form_token,
            models=[(each, Markup(markdown.render(each.card))) for each in self.models],
        )
