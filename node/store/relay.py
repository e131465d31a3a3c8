"""How far what was done has been told elsewhere, and what there is to tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa

from node.domain.delivery import DeliveryState
from node.store.tables import attempt, audit, job, relay


class Stream(StrEnum):
    """What is told, each in the order of its numbers."""

    ENTRIES = "entries"
    """Of the audit: what people did."""
    JOBS = "jobs"
    """Instances that came."""
    ATTEMPTS = "attempts"
    """Tries to deliver results."""


_NUMBERS = {
    Stream.ENTRIES: audit.c.entry_id,
    Stream.JOBS: job.c.job_id,
    Stream.ATTEMPTS: attempt.c.attempt_id,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One that came to an end, of a delivery that is an instance or a message."""

    attempt_id: int
    delivery_id: int
    state: DeliveryState
    ended_at: datetime


class Relay:
    """Reads and writes positions inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def newest(self) -> dict[Stream, int]:
        """The last number of each; 0 where there is none."""
        return {
            stream: self._connection.scalar(sa.select(sa.func.max(number))) or 0
            for stream, number in _NUMBERS.items()
        }

    def position(self, stream: Stream) -> int | None:
        """The last number that was told; None before anything is."""
        query = sa.select(relay.c.told_to).where(relay.c.stream == stream.value)
        return self._connection.scalar(query)

    def begin(self, stream: Stream, at: int) -> None:
        """Tell what has a larger number from now on."""
        self._connection.execute(relay.insert().values(stream=stream.value, told_to=at))

    def move(self, stream: Stream, *, before: int, to: int) -> bool:
        """False where another host has moved it meanwhile."""
        moved = self._connection.execute(
            relay.update()
            .where(relay.c.stream == stream.value, relay.c.told_to == before)
            .values(told_to=to)
        )
        return moved.rowcount == 1

    def numbers(self, stream: Stream, *, after: int, to: int, limit: int) -> list[int]:
        """Those between, the smallest first."""
        number = _NUMBERS[stream]
        query = sa.select(number).where(number > after, number <= to).order_by(number).limit(limit)
        return list(self._connection.scalars(query))

    def attempt(self, attempt_id: int) -> Attempt | None:
        row = self._connection.execute(
            attempt.select().where(attempt.c.attempt_id == attempt_id)
        ).one_or_none()
        if row is None:
            return None
        return Attempt(
            attempt_id=row.attempt_id,
            delivery_id=row.delivery_id,
            state=DeliveryState(row.state),
            ended_at=row.started_at + timedelta(milliseconds=row.duration_ms),
        )
