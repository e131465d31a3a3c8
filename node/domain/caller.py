"""Callers: what they may be allowed to ask, and those that were turned away."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum


class Permission(Enum):
    """What a caller may ask of the listener."""

    STORE = "store"
    ECHO = "echo"
    REPORT = "report"
    """What it has committed to keep, by Storage Commitment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Who was turned away, and why. Printable, whatever was sent; no AE titles where none came."""

    calling_ae: str
    called_ae: str
    peer: str
    """Address, without the port."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCaller:
    """All refusals of one caller for one reason."""

    number: int
    refusal: Refusal
    first_seen_at: datetime
    last_seen_at: datetime
    count: int
