"""Between which numbers healthy people lie, and where another number lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Standing(Enum):
    BELOW = "below"
    WITHIN = "within"
    ABOVE = "above"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRange:
    """In the unit of the field; both bounds are within."""

    lower: float
    upper: float

    def standing(self, value: float) -> Standing:
        if value < self.lower:
            return Standing.BELOW
        return Standing.ABOVE if value > self.upper else Standing.WITHIN


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRanges:
    """The ranges of one sex."""

    statement: str
    """Whose they are, for a reader."""
    by_field: Mapping[str, ReferenceRange]
    """Field id -> range; none where no range is known."""
