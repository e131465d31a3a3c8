"""Whose turn it is to write to SQLite, which has one write lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa

_READS: Final = ("SELECT", "PRAGMA")
_HAS_IT: Final = "has the turn"


class WriteTurn:
    """One transaction of the process at a time; one that a sender waits for before the others.

    Who waited for SQLite's own lock would sleep there up to 0.1 s at a time, and find it taken
    again.
    """

    def __init__(self) -> None:
        lock = threading.Lock()
        self._urgent, self._others = threading.Condition(lock), threading.Condition(lock)
        self._urgent_waiting = 0
        self._is_taken = False

    @contextmanager
    def taken(self, *, is_urgent: bool = False) -> Iterator[None]:
        self._take(is_urgent=is_urgent)
        try:
            yield
        finally:
            self._give_back()

    def govern(self, engine: sa.Engine) -> None:
        """Have every transaction of the engine wait for its turn before it first writes.

        Its turn is over when the connection is back in the pool: SQLAlchemy tells of a commit
        before it is done.
        """

        @sa.event.listens_for(engine, "before_cursor_execute")
        def _wait(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
            reads = statement.lstrip().upper().startswith(_READS)
            if not reads and _HAS_IT not in connection.info:
                self._take(is_urgent=False)
                connection.info[_HAS_IT] = True

        def _end(_connection: Any, record: Any, *_: Any) -> None:
            if record.info.pop(_HAS_IT, False):
                self._give_back()

        for event in ("checkin", "invalidate"):
            sa.event.listen(engine, event, _end)

    def _take(self, *, is_urgent: bool) -> None:
        with self._urgent:  # the lock of both
            if is_urgent:
                self._urgent_waiting += 1
                try:
                    while self._is_taken:
                        self._urgent.wait()
                finally:
                    self._urgent_waiting -= 1
            else:
                while self._is_taken or self._urgent_waiting:
                    self._others.wait()
            self._is_taken = True

    def _give_back(self) -> None:
        with self._urgent:
            self._is_taken = False
            (self._urgent if self._urgent_waiting else self._others).notify()
