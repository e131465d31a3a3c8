"""Callers that the listener turned away, each once a reason: the latest few hundred."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from node.domain.caller import Refusal, RefusedCaller
from node.store.tables import refused_caller

KEPT: Final = 512
KEPT_OF_ONE_ADDRESS: Final = 64
"""So that one that knocks under ever new names does not push the others out."""

_COLUMNS: Final = refused_caller.c


class RefusedCallers:
    """Reads and writes the list of refused callers inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, refusals: Mapping[Refusal, int], *, at: datetime) -> None:
        """List refusals, each so many times; the longest unseen are forgotten."""
        for refusal, count in refusals.items():
            self._add(refusal, count, at)
        for peer in {refusal.peer for refusal in refusals}:
            self._forget(KEPT_OF_ONE_ADDRESS, _COLUMNS.peer == peer)
        self._forget(KEPT)

    def latest(self) -> list[RefusedCaller]:
        """All that are listed, the last seen first."""
        query = refused_caller.select().order_by(_COLUMNS.last_seen_at.desc(), _COLUMNS.number)
        return [_read(row) for row in self._connection.execute(query)]

    def get(self, number: int) -> RefusedCaller | None:
        query = refused_caller.select().where(_COLUMNS.number == number)
        row = self._connection.execute(query).one_or_none()
        return None if row is None else _read(row)

    def _add(self, refusal: Refusal, count: int, at: datetime) -> None:
        same = (
            (_COLUMNS.peer == refusal.peer)
            & (_COLUMNS.calling_ae == refusal.calling_ae)
            & (_COLUMNS.called_ae == refusal.called_ae)
            & (_COLUMNS.reason == refusal.reason)
        )
        seen_again = self._connection.execute(
            refused_caller.update()
            .where(same)
            .values(last_seen_at=at, count=_COLUMNS["count"] + count)
        )
        if seen_again.rowcount:
            return
        self._connection.execute(
            refused_caller.insert().values(
                calling_ae=refusal.calling_ae,
                called_ae=refusal.called_ae,
                peer=refusal.peer,
                reason=refusal.reason,
                first_seen_at=at,
                last_seen_at=at,
                count=count,
            )
        )

    def _forget(self, kept: int, *of: sa.ColumnElement[bool]) -> None:
        """Remove all but so many that were seen last."""
        latest = (
            sa.select(_COLUMNS.number)
            .where(*of)
            .order_by(_COLUMNS.last_seen_at.desc(), _COLUMNS.number.desc())
            .limit(kept)
        )
        self._connection.execute(refused_caller.delete().where(*of, _COLUMNS.number.not_in(latest)))


def _read(row: sa.Row[tuple[object, ...]]) -> RefusedCaller:
    values = dict(row._mapping)
    refusal = Refusal(
        **{key: values.pop(key) for key in ("calling_ae", "called_ae", "peer", "reason")}
    )
    return RefusedCaller(refusal=refusal, **values)
