"""The first page: whether all is well, and where it is not."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from starlette.responses import Response
from starlette.routing import Route

from node.domain.delivery import Delivery, DeliveryState, JobState
from node.web.console.gate import Gate, Visit
from node.web.console.pages import Pages
from node.workflow.alerting import missing_roles
from node.workflow.ports import Clock, Transaction, UnitOfWork

if TYPE_CHECKING:
    from node.store.received import Job

_HOURS: Final = 24
_COUNTED: Final = 20_000
"""Of the last ones: a hospital group sends as many in a day."""
_SHOWN: Final = 8
_ANEW_AFTER_S: Final = 2.0
"""However many look: counting all rows takes the database a while."""
_BAD: Final = (DeliveryState.REFUSED, DeliveryState.EXHAUSTED)
_OWED: Final = (DeliveryState.PENDING, DeliveryState.WAITING, DeliveryState.STORED)
_ARRIVED: Final = (DeliveryState.DELIVERED, DeliveryState.COMMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRow:
    """How a destination does."""

    name: str
    address: str
    owed: int
    stopped: int
    arrived: int
    oldest: Delivery | None
    """Of what it is owed."""

    @property
    def tone(self) -> str:
        if self.stopped or (self.oldest is not None and self.oldest.error_message):
            return "bad"
        return "busy" if self.owed else "good"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """ECGs of the last day."""

    by_hour: Sequence[int]
    """The oldest hour first, the last is the one that runs."""
    middle_s: float | None
    slow_s: float | None
    """From received to answered, the median and the slowest twentieth; None without one."""

    @property
    def total(self) -> int:
        return sum(self.by_hour)


class Overview:
    """Reads the rows and what the process itself knows; for all who look, once in a while."""

    def __init__(
        self,
        *,
        work: UnitOfWork,
        pages: Pages,
        gate: Gate,
        clock: Clock,
        problems: Callable[[], Sequence[str]],
        destinations: Mapping[str, str],
        models: Sequence[str],
        free_bytes: Callable[[], int | None],
    ) -> None:
        """destinations: name and address, as configured. models: what answers here."""
        self._work = work
        self._pages = pages
        self._gate = gate
        self._clock = clock
        self._problems = problems
        self._addresses = destinations
        self._models = models
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._seen: dict[str, Any] = {}
        self._seen_s = -math.inf

    @property
    def routes(self) -> list[Route]:
        return [self._gate.get("/", self.show)]

    def show(self, visit: Visit) -> Response:
        with self._lock:
            if time.monotonic() - self._seen_s > _ANEW_AFTER_S:
                self._seen, self._seen_s = self._look(), time.monotonic()
            seen = self._seen
        return self._pages.render(
            "overview.html", user=visit.user, form_token=visit.form_token, **seen
        )

    def _look(self) -> dict[str, Any]:
        at = self._clock()
        with self._work.look() as transaction:
            hosts = transaction.hosts.all()
            times = transaction.jobs.times_since(at - timedelta(hours=_HOURS), limit=_COUNTED)
            return {
                "at": at,
                "problems": [*self._problems(), *missing_roles(hosts)],
                "jobs": transaction.jobs.count_by_state(),
                "waiting": _waiting_for_a_person(transaction),
                "stopped": transaction.outbox.stopped(limit=_SHOWN),
                "destinations": self._destinations(transaction),
                "traffic": traffic(times, at),
                "hosts": hosts,
                "models": self._models,
                "free_bytes": self._free_bytes(),
            }

    def _destinations(self, transaction: Transaction) -> Sequence[DestinationRow]:
        """Those of the configuration, and those that something is still owed to."""
        counts = transaction.outbox.count_by_destination()
        oldest = transaction.outbox.oldest_pending()
        names = [*self._addresses, *sorted({name for name, _ in counts} - {*self._addresses})]

        def count(name: str, states: Sequence[DeliveryState]) -> int:
            return sum(counts.get((name, state), 0) for state in states)

        return [
            DestinationRow(
                name=name,
                address=self._addresses.get(name, "not configured any more"),
                owed=count(name, _OWED),
                stopped=count(name, _BAD),
                arrived=count(name, _ARRIVED),
                oldest=oldest.get(name),
            )
            for name in names
        ]


def _waiting_for_a_person(transaction: Transaction) -> Sequence[Job]:
    """The last jobs of each state in which nothing happens by itself."""
    states = (JobState.HELD, JobState.FAILED, JobState.CONFLICT)
    found = [job for each in states for job in transaction.jobs.latest(limit=_SHOWN, state=each)]
    return sorted(found, key=lambda job: -job.job_id)[:_SHOWN]


def traffic(times: Sequence[tuple[datetime, datetime | None]], at: datetime) -> Traffic:
    """times: when each was received and answered, of the last day."""
    by_hour = [0] * _HOURS
    for received_at, _ in times:
        hours_ago = int((at - received_at) / timedelta(hours=1))
        if 0 <= hours_ago < _HOURS:
            by_hour[_HOURS - 1 - hours_ago] += 1
    waits_s = [
        (answered_at - received_at).total_seconds()
        for received_at, answered_at in times
        if answered_at is not None
    ]
    middle_s, slow_s = np.percentile(waits_s, (50, 95)) if waits_s else (None, None)
    return Traffic(by_hour=by_hour, middle_s=middle_s, slow_s=slow_s)
