"""How long is waited before something is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a destination is served."""

    initial_s: float = 5.0
    maximum_s: float = 900.0
    give_up_after_s: float = 7 * 24 * 3600.0
    maximum_refusals: int | None = None
    """Of "not now", before a person is waited for; None takes any number. Whoever is served in
    order keeps all others waiting meanwhile."""

    def wait_s(self, attempts: int, jitter: float) -> float:
        """Seconds until the next try after so many: doubled each time, less up to a quarter.

        jitter: 0 to 1, so that many deliveries do not come back at one moment.
        """
        doubled = self.initial_s * 2.0 ** min(attempts - 1, 30)
        return min(self.maximum_s, doubled) * (1.0 - 0.25 * jitter)
