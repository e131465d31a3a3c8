"""How long something took, by a clock that can be set."""

from __future__ import annotations

from datetime import datetime


def elapsed_ms(begun_at: datetime, ended_at: datetime) -> int:
    """Whole milliseconds; none where the clock was set back meanwhile."""
    return max(0, int((ended_at - begun_at).total_seconds() * 1000))
