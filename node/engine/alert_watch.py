"""Tells people of what is wrong: of this host each by itself, of what all have in common one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol

from node.domain.alert import Alert, Condition
from node.domain.errors import CardioNodeError
from node.workflow.alerting import Alarm, conditions
from node.workflow.ports import Clock, Level, Telemetry, UnitOfWork

LOOK_EVERY_S: Final = 15.0


class Notifier(Protocol):
    """A way to a person. Raises CardioNodeError; it is tried again at the next look."""

    def tell(self, node: str, alerts: Sequence[Alert]) -> None: ...


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
    _alarms: dict[str, Alarm] = field(init=False)
    _common: Sequence[Condition] = field(default=(), init=False)
    """Those of the last look at the rows."""
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._alarms = {
            name: Alarm(after=self.after, again_after=self.again_after) for name in self.notifiers
        }

    def start(self) -> None:
        threading.Thread(target=self._keep_looking, name="alerts", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def look(self) -> None:
        """Tell what is due, each way by itself."""
        at = self.clock()
        self._common = self._look_at_rows()
        found = [*self.of_this_host(), *self._common]
        for name, alarm in self._alarms.items():
            due = alarm.due(found, at)
            if not due:
                continue
            try:
                self.notifiers[name].tell(self.node, due)
            except CardioNodeError as error:
                self.telemetry.event(
                    "alert not told",
                    level=Level.ERROR,
                    destination=name,
                    error_code=error.code,
                    reason=error.message,
                    count=len(due),
                )
            else:
                alarm.told(due, at)
                self.telemetry.event("alert told", destination=name, count=len(due))

    def _look_at_rows(self) -> Sequence[Condition]:
        """Nothing where another host tells it; what was seen last where they cannot be read."""
        try:
            with self.work.look() as transaction:
                hosts = transaction.hosts.all()
                if not hosts or hosts[0].executor_id != self.executor_id:
                    return ()
                return conditions(transaction, at=self.clock(), silent_after=self.silent_after)
        except CardioNodeError:  # which is told of as one of this host
            return self._common

    def _keep_looking(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # the thread's boundary: it looks again
                self.telemetry.event("alerts not looked for", level=Level.ERROR, error=error)
