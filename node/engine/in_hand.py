"""What this process executes: after the database was away, the engine's rows may say more."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager


class InHand:
    """Workflows by their ids. Thread safe but for `lost`, which one thread asks."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._lock = threading.Lock()
        self._idle: Set[str] = frozenset()
        self.has_failed = threading.Event()
        """Set when one has ended by an error of the engine: what it was for may still be owed."""

    @contextmanager
    def executing(self, workflow_id: str) -> Iterator[None]:
        """That workflow, from its first line to its last."""
        with self._lock:
            self._names.add(workflow_id)
        try:
            yield
        except BaseException:
            self.has_failed.set()
            raise
        finally:
            with self._lock:
                self._names.discard(workflow_id)

    def lost(self, begun: Set[str]) -> Set[str]:
        """Those that nobody executes, of all that this process has begun, as their rows say.

        Twice in a row, because one that has just begun or ended is for a moment in one place alone.
        """
        with self._lock:
            idle = frozenset(begun - self._names)
        lost = idle & self._idle
        self._idle = idle - lost
        return lost
