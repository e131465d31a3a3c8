"""Tells people of what is wrong: of this host each by itself, of what all have in common one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from node.domain.alert import Alert, Condition
from node.domain.errors import CardioNodeError
from node.domain.host import speaks_for_all
from node.workflow.alerting import Alarm, conditions
from node.workflow.ports import Clock, Level, Telemetry, UnitOfWork
from node.workflow.retry import RetryPolicy

LOOK_EVERY_S: Final = 15.0
_BACK_OFF: Final = RetryPolicy(initial_s=LOOK_EVERY_S, maximum_s=900.0)


class Notifier(Protocol):
    """A way to a person. Raises CardioNodeError; it is tried again later."""

    def tell(self, node: str, alerts: Sequence[Alert]) -> str:
        """What is to be known of it though it was taken; mostly nothing."""
        ...


@dataclass(kw_only=True)
class _Way:
    """To one who is told."""

    notifier: Notifier
    alarm: Alarm
    failures: int = 0
    not_before_s: float = 0.0
    """Of the steady clock."""


@dataclass(kw_only=True)
class AlertWatch:
    """`look` is done every LOOK_EVERY_S by a thread of its own."""

    node: str
    """What the node is called to who is told."""
    executor_id: str
    notifiers: Mapping[str, Notifier]
    after: timedelta
    again_after: timedelta
    silent_after: timedelta | None
    of_this_host: Callable[[], Sequence[Condition]]
    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    steady_s: Callable[[], float] = time.monotonic
    _ways: dict[str, _Way] = field(init=False)
    _here: Sequence[Condition] = field(default=(), init=False)
    _common: Sequence[Condition] = field(default=(), init=False)
    """Those of the last look at the rows, by the host that tells of them."""
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._ways = {
            name: _Way(
                notifier=notifier, alarm=Alarm(after=self.after, again_after=self.again_after)
            )
            for name, notifier in self.notifiers.items()
        }

    def start(self) -> None:
        threading.Thread(target=self._keep_looking, name="alerts", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """Tell what is due, each way by itself; what cannot be looked at is told too."""
        at = self.clock()
        found = [*self._look_here(), *self._look_at_rows()]
        for name, way in self._ways.items():
            due = way.alarm.due(found, at)
            if due and self.steady_s() >= way.not_before_s:
                self._tell(name, way, due, at)

    def _tell(self, name: str, way: _Way, due: Sequence[Alert], at: datetime) -> None:
        try:
            said = way.notifier.tell(self.node, due)
        except Exception as error:  # of this way alone: the others are tried
            way.failures += 1
            way.not_before_s = self.steady_s() + _BACK_OFF.wait_s(way.failures, 0.0)
            is_known = isinstance(error, CardioNodeError)
            self.telemetry.event(
                "alert not told",
                level=Level.ERROR,
                error=None if is_known else error,
                destination=name,
                reason=error.message if isinstance(error, CardioNodeError) else "a fault of ours",
                count=len(due),
            )
            return
        way.alarm.told(due, at)
        way.failures, way.not_before_s = 0, 0.0
        self.telemetry.event("alert told", destination=name, count=len(due), reason=said or None)

    def _look_here(self) -> Sequence[Condition]:
        try:
            self._here = self.of_this_host()
        except Exception as error:
            return [*self._here, self._unseen("this host", error)]
        return self._here

    def _look_at_rows(self) -> Sequence[Condition]:
        """Nothing where another host tells it; what was seen last where they cannot be read."""
        try:
            with self.work.look() as transaction:
                if not speaks_for_all(transaction.hosts.all(), self.executor_id):
                    keys = [each.key for each in self._common]
                    for way in self._ways.values():
                        way.alarm.forget(keys)
                    self._common = ()
                    return ()
                self._common = conditions(
                    transaction, at=self.clock(), silent_after=self.silent_after
                )
        except CardioNodeError:  # which is told of as one of this host
            pass
        except Exception as error:
            return [*self._common, self._unseen("the database", error)]
        return self._common

    def _unseen(self, what: str, error: Exception) -> Condition:
        self.telemetry.event("alerts not looked for", level=Level.ERROR, error=error)
        said = f"{self.node}: what is wrong with {what} cannot be looked at; the log says why"
        return Condition(key=f"unseen {what} {self.node}", said=said)

    def _keep_looking(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # the thread's boundary: it looks again
                self.telemetry.event("alerts not looked for", level=Level.ERROR, error=error)
