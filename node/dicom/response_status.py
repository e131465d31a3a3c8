"""What the status of a response means: a table a command, whose first row that fits decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.domain.errors import DeliveryError


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseStatus:
    """One status, or a range of them."""

    first: int
    last: int
    meaning: str
    """In the standard's words."""
    error: type[DeliveryError] | None = None
    """None: the peer has what it was sent."""
    message: str = ""
    """The error's, with the placeholder {code}."""


def single(
    status: int, meaning: str, error: type[DeliveryError] | None = None, message: str = ""
) -> ResponseStatus:
    """A row for one status."""
    return ResponseStatus(first=status, last=status, meaning=meaning, error=error, message=message)


def error_of(status: int, table: Sequence[ResponseStatus]) -> DeliveryError | None:
    """What a status means for a delivery; None when the peer has what it was sent.

    table: its last row takes every status.
    """
    row = next(row for row in table if row.first <= status <= row.last)
    return None if row.error is None else row.error(row.message.format(code=f"0x{status:04X}"))
