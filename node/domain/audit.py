"""Who saw or did what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final


class Action(Enum):
    """What a person did."""

    SIGNED_IN = "signed in"
    REFUSED = "sign-in refused"
    SIGNED_OUT = "signed out"
    LISTED = "looked at the list"
    SEARCHED = "searched"
    VIEWED = "looked at a study"
    READ = "read a message"
    REPLAYED = "replayed a message"
    DOWNLOADED = "downloaded a result"
    RETRIED = "retried"
    SENT_AGAIN = "sent again"
    RELEASED = "released"
    REJECTED = "rejected"
    CORRECTED = "corrected"
    CANCELLED = "cancelled"
    TRIED = "tested a connection"
    PROVED = "had the model proved"
    REHEARSED = "tried the rules"
    CONFIGURED = "changed the configuration"
    TOOK_UP = "had the configuration taken up"
    ADDED_USER = "added a user"
    CHANGED_PASSWORD = "changed a password"
    REMOVED_USER = "removed a user"
    UNKNOWN = "did what a newer version knows"
    """Never written: what is read of another version."""
    WITHDREW = "withdrew"
    SIGNED = "signed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, and from where."""

    name: str
    """Of a user; on the command line, of one of the machine."""
    peer: str
    """Address of the browser, or COMMAND_LINE."""


COMMAND_LINE: Final = "command line"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One of them; it names no patient."""

    entry_id: int
    at: datetime
    """Aware UTC."""
    user_name: str
    peer: str
    """As an actor's."""
    action: Action
    job_id: int | None
    """What it was about."""
    said: str
    """What came of it, in the node's words."""
