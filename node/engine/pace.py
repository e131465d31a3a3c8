"""How often the engine looks into its queues: often while work flows, seldom when none does."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from dbos import Queue

IDLE_S: Final = 0.25
"""Bounds how long new work waits, and costs a few percent of a core with all queues."""
FLOWING_S: Final = 0.04
"""Bounds what a destination takes one after the other."""
_FLOWS: Final = 2
_WITHIN_S: Final = 2.0


class Pace:
    """Of queues of one role. What waits and does not move (its destination is down) is no flow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.queues: list[Queue] = []
        """Registered with IDLE_S."""
        self._now = now
        self._moved_at: deque[float] = deque(maxlen=_FLOWS)
        self._set_s = IDLE_S

    def moved(self) -> None:
        """Something of it was done with."""
        self._moved_at.append(self._now())

    @property
    def interval_s(self) -> float:
        """Between two looks, from now on."""
        flows = len(self._moved_at) == _FLOWS and self._now() - self._moved_at[0] < _WITHIN_S
        return FLOWING_S if flows else IDLE_S

    def adjust(self) -> None:
        """Write it into the queues' rows where it has changed; every host reads them."""
        wanted_s = self.interval_s
        if wanted_s != self._set_s:
            for queue in self.queues:
                queue.set_polling_interval_sec(wanted_s)
            self._set_s = wanted_s
