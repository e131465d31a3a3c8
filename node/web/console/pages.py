"""Renders the console's pages."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from node.domain.delivery import DeliveryState, JobState
from node.domain.user import Role, User

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every page and picture: patients are on them, and nothing of elsewhere is."""


_TONES: Final = {
    "good": (JobState.COMPLETED, DeliveryState.DELIVERED, DeliveryState.COMMITTED),
    "busy": (
        JobState.RECEIVED,
        DeliveryState.PENDING,
        DeliveryState.WAITING,
        DeliveryState.STORED,
    ),
    "bad": (
        JobState.FAILED,
        JobState.CONFLICT,
        JobState.HELD,
        DeliveryState.REFUSED,
        DeliveryState.EXHAUSTED,
    ),
}
"""What is bad waits for a person."""


class Pages:
    """The templates beside this file; what they print is escaped."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("node.web.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"moment": moment, "local": local, "tone": tone}
        self._templates.globals["Role"] = Role

    def render(
        self,
        template: str,
        *,
        user: User | None = None,
        form_token: str = "",
        status_code: int = 200,
        **values: object,
    ) -> HTMLResponse:
        """user: who is signed in, whose name stands above. form_token: for the page's forms."""
        text = self._templates.get_template(template).render(
            user=user, form_token=form_token, here=template, **values
        )
        return HTMLResponse(text, status_code=status_code, headers=HEADERS)


def moment(at: datetime | None) -> str:
    """As all lists of the node write it, UTC."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def local(at: datetime | None) -> str:
    """A time by another clock, with its offset where it says so."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S %z}".strip()


def tone(state: Enum) -> str:
    """In which a state is shown: "good", "busy", "bad", or "quiet"."""
    return next((tone for tone, states in _TONES.items() if state in states), "quiet")
