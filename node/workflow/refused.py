"""Whom the listener turned away, kept for the administrator: a transaction a second at most."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from node.domain.caller import Refusal
from node.domain.errors import CardioNodeError
from node.workflow.ports import Clock, Level, Telemetry, UnitOfWork

AT_ONCE: Final = 64
"""Kept of one second; further ones have their log lines alone."""
_EVERY_S: Final = 1.0


@dataclass(kw_only=True)
class RefusalBook:
    """Takes refusals from any thread, and writes what came within a second in one transaction."""

    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    _pending: Counter[Refusal] = field(default_factory=Counter, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _some: threading.Event = field(default_factory=threading.Event, init=False)
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def note(self, refusal: Refusal) -> None:
        """Have it written soon. Takes no time and fails never, however many come."""
        with self._lock:
            if refusal in self._pending or len(self._pending) < AT_ONCE:
                self._pending[refusal] += 1
        self._some.set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._write_on, name="refusals", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is pending."""
        self._stopping.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join()

    def write(self) -> None:
        """Write what is pending now; what the store does not take is said and forgotten."""
        with self._lock:
            pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            with self.work.begin() as transaction:
                transaction.refused.add(pending, at=self.clock())
        except CardioNodeError as error:
            self.telemetry.event(
                "refused callers not kept",
                level=Level.WARNING,
                count=pending.total(),
                error_code=error.code,
                reason=error.message,
            )

    def _write_on(self) -> None:
        while not self._stopping.is_set():
            self._some.wait()
            self._stopping.wait(_EVERY_S)
            self._some.clear()
            try:
                self.write()
            except Exception as error:  # the thread's boundary: the next ones are written
                self.telemetry.event("refused callers not kept", level=Level.ERROR, error=error)
