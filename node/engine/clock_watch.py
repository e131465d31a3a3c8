"""Notices that this machine's clock was set: nothing waits for a time that is far away since."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from node.engine.unit_of_work import EngineUnitOfWork
from node.store.turns import Turns
from node.workflow.ports import Clock, Level, Telemetry

JUMP_S: Final = 5.0
"""What is less is a clock that is corrected, not one that is set."""
TRUSTED_S: Final = 3600.0
_LOOK_EVERY_S: Final = 2.0


@dataclass(kw_only=True)
class ClockWatch:
    """`look` is done every two seconds by a thread of its own."""

    work: EngineUnitOfWork
    longest_s: float
    """Nothing backs off for longer than that."""
    telemetry: Telemetry
    clock: Clock
    steady_s: Callable[[], float] = time.monotonic
    """Seconds that never jump."""
    _ahead_s: float = field(init=False)
    """Of those seconds; another value each time the clock is set."""
    _first_ahead_s: float = field(init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._ahead_s = self._first_ahead_s = self._ahead(self.clock())
        self._thread = threading.Thread(target=self._keep_looking, name="clock", daemon=True)

    def start(self) -> None:
        """See to what the clock was set back under while no node ran. Raises StorageError."""
        self._wake(self.clock() + timedelta(seconds=self.longest_s))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    @property
    def is_trusted(self) -> bool:
        """Whether it is, by and large, the clock that the node was started with.

        What is old is told, and removed, by no other.
        """
        return abs(self._ahead(self.clock()) - self._first_ahead_s) < TRUSTED_S

    def look(self) -> None:
        """Have tried now what backs off, where the clock was set since. Raises StorageError."""
        now = self.clock()
        jump_s = self._ahead(now) - self._ahead_s
        if abs(jump_s) >= JUMP_S:
            self._wake(None)
            self.telemetry.event(
                "clock set while the node ran",
                level=Level.WARNING,
                reason=f"by {jump_s:+.0f} s, or the machine slept; what backed off is tried now",
            )
        self._ahead_s += jump_s

    def _ahead(self, now: datetime) -> float:
        return now.timestamp() - self.steady_s()

    def _wake(self, later_than: datetime | None) -> None:
        """One after the other, as who takes turns would wait for a transaction with several."""
        with self.work.database.read() as connection:
            found = Turns(connection).later_than(later_than)
        for work, row_id in found:
            with self.work.begin() as transaction:
                transaction.wake(work, row_id)

    def _keep_looking(self) -> None:
        while not self._stopping.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # the thread's boundary: it looks again
                self.telemetry.event("clock not watched", level=Level.WARNING, error=error)
