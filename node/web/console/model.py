"""What answers here: which bundle, on what, what it says of itself, and the proof of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock

from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import Route

from node.domain.audit import Action
from node.domain.errors import NotPossible
from node.domain.prediction import ModelIdentity
from node.domain.user import Role
from node.models import Proved
from node.web.console.gate import Gate, Visit
from node.web.console.pages import Pages
from pipelines.parity import Deviation


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
    proof: Sequence[Deviation]
    """Of when it was loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    pages: Pages
    gate: Gate
    models: Sequence[ShownModel]
    prove: Callable[[], Iterable[Proved]]
    """Loads each bundle of the configuration anew."""
    _turn: Lock = field(default_factory=Lock, init=False)

    @property
    def routes(self) -> list[Route]:
        return [
            self.gate.get("/model", self.show),
            self.gate.post("/model/prove", self.prove_again, needs=Role.ADMIN),
        ]

    def show(self, visit: Visit) -> Response:
        return self._page(visit, ())

    def prove_again(self, visit: Visit) -> Response:
        """Load the bundles beside those that answer, and show how near they come to their makers'.

        Raises NotPossible (it is being done), ConfigurationError.
        """
        if not self._turn.acquire(blocking=False):
            raise NotPossible("the bundles are being proved already; wait for the end of that")
        try:
            proved = list(self.prove())
        finally:
            self._turn.release()
        told = "; ".join(
            f"{each.choice}: {'proved' if each.identity else each.reason}" for each in proved
        )
        self.gate.note(visit, Action.PROVED, said=told)
        return self._page(visit, proved)

    def _page(self, visit: Visit, proved: Sequence[Proved]) -> Response:
        # What is HTML in a card stays text: a bundle may come from anywhere.
        markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
        return self.pages.render(
            "model.html",
            user=visit.user,
            form_token=visit.form_token,
            models=[(each, Markup(markdown.render(each.card))) for each in self.models],
            proved=proved,
        )
