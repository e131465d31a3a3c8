"""What a person is told of without having looked: it began, it lasts, it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something that is not as it should be, now."""

    key: str
    """The same as long as it is the same thing, whatever is said of it."""
    said: str
    """One sentence: what, why, what to do. It names no patient."""
    count: int = 1
    """Of what there are so many; twice as many are news."""


class AlertState(Enum):
    """What is told of a condition."""

    BEGAN = "began"
    LASTS = "lasts"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One that is to be told."""

    state: AlertState
    condition: Condition
    since: datetime
    """When it was first seen; aware UTC."""

    @property
    def sentence(self) -> str:
        at = f"{self.since:%Y-%m-%d %H:%M} UTC"
        if self.state is AlertState.ENDED:
            return f"Over: {self.condition.said} (since {at})"
        again = "Still: " if self.state is AlertState.LASTS else ""
        return f"{again}{self.condition.said} (since {at})"


class MailSecurity(Enum):
    """How the connection to a mail server is encrypted."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"
