"""Whose turn it is: one row for each job, delivery and commitment that is owed some work.

Rows of a lane go by their place. A few of a lane are in hand at a time; one that backs off keeps
its place among them, and nothing passes it but what came to stand before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from node.domain.commitment import CommitmentState
from node.domain.delivery import DeliveryState, JobState
from node.store.tables import commitment, delivery, host, job, turn

_LANES: Final = 0x4C41  # of PostgreSQL's advisory locks, the first of two keys


class Work(StrEnum):
    """What a turn is for."""

    JOB = "job"
    DELIVERY = "delivery"
    COMMITMENT = "commitment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One row that a host may take."""

    work: Work
    row_id: int
    run: int
    """Which run of its job, delivery or commitment it is for."""
    given: int
    """How often it was given or woken: whoever took it before does not take it away."""
    tries: int
    """How often it was taken since it was given."""

    @property
    def key(self) -> tuple[Work, int]:
        return self.work, self.row_id


class Turns:
    """Reads and writes turns inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._is_server = connection.dialect.name == "postgresql"

    def put(
        self,
        work: Work,
        row_id: int,
        *,
        run: int,
        lane: str,
        place: int,
        due_at: datetime | None = None,
    ) -> None:
        """Give it a turn, now or later. One that it has is moved; who has it in hand ends first."""
        self._connection.execute(
            _PUT_ON_SERVER if self._is_server else _PUT,
            {
                "work": work.value, "row_id": row_id, "run": run, "lane": lane, "place": place,
                "due_at": due_at,
            },
        )  # fmt: skip

    def wake(self, work: Work, row_id: int) -> None:
        """Have one that backs off, or is about to, be due now."""
        self._connection.execute(
            turn.update()
            .where(*_is(work, row_id))
            .values(due_at=None, again_at=None, given=turn.c.given + 1)
        )

    def later_than(self, at: datetime | None) -> list[tuple[Work, int]]:
        """What backs off until later, or until whenever.

        Without reports of commitment that are awaited: their time is in their own rows.
        """
        standing_back = sa.and_(turn.c.work != Work.COMMITMENT.value, turn.c.due_at.is_not(None))
        found = [turn.c.again_at.is_not(None), standing_back]
        if at is not None:
            found = [turn.c.again_at > at, sa.and_(standing_back, turn.c.due_at > at)]
        rows = self._connection.execute(sa.select(turn.c.work, turn.c.row_id).where(sa.or_(*found)))
        return [(Work(row.work), row.row_id) for row in rows]

    def lanes(self) -> list[str]:
        """Those in which something waits, or backs off, in their order."""
        return list(self._connection.scalars(_LANES_WITH_WAITING))

    def lock(self, lane: str) -> None:
        """Have other hosts wait until the transaction ends, before they take of it."""
        if self._is_server:  # on SQLite who writes is alone
            self._connection.execute(
                sa.select(sa.func.pg_advisory_xact_lock(_LANES, sa.func.hashtext(lane)))
            )

    def in_hand(self, lane: str) -> dict[str, int]:
        """How many of a lane each host has in hand, by executor id."""
        rows = self._connection.execute(_IN_HAND, {"of_lane": lane})
        return {row.holder: row.number for row in rows}

    def first(self, lane: str, *, size: int, now: datetime) -> list[Turn]:
        """Those of the first so many, in hand or not, that may be taken."""
        rows = self._connection.execute(_FIRST, {"of_lane": lane, "size": size, "now": now})
        return [
            _read(row)
            for row in rows
            if row.holder is None and (row.again_at is None or row.again_at <= now)
        ]

    def take(self, taken: Turn, holder: str) -> None:
        """Have it in the hand of a host; its lane is locked."""
        self._connection.execute(
            turn.update()
            .where(*_is(*taken.key), turn.c.holder.is_(None))
            .values(holder=holder, tries=turn.c.tries + 1)
        )

    def end(
        self,
        ended: Turn,
        holder: str,
        *,
        again_at: datetime | None = None,
        due_at: datetime | None = None,
    ) -> None:
        """Take it out of a host's hand, and away, unless it was given anew meanwhile.

        again_at: it backs off until then and keeps its place.
        due_at: it stands back until then, and others go before it.
        """
        mine = (*_is(*ended.key), turn.c.holder == holder)
        is_same = turn.c.given == ended.given
        if again_at is None and due_at is None:
            self._connection.execute(turn.delete().where(*mine, is_same))
        elif due_at is not None:
            self._connection.execute(turn.update().where(*mine, is_same).values(due_at=due_at))
        else:
            self._connection.execute(turn.update().where(*mine, is_same).values(again_at=again_at))
        self._connection.execute(turn.update().where(*mine).values(holder=None))

    def held_by(self, holder: str) -> list[Turn]:
        """What that host has in hand, as far as anyone knows."""
        return [_read(row) for row in self._connection.execute(_HELD, {"of_holder": holder})]

    def let_go(self, held: Iterable[Turn], holder: str) -> None:
        """Have others take what that host does not have in hand after all."""
        for each in held:
            self._connection.execute(
                turn.update().where(*_is(*each.key), turn.c.holder == holder).values(holder=None)
            )

    def has_orphans(self) -> bool:
        """Whether somebody has something in hand who is no host any more."""
        return (
            self._connection.scalar(sa.select(turn.c.row_id).where(*_ORPHANED).limit(1)) is not None
        )

    def let_go_of_orphans(self) -> int:
        """Have that taken anew; how much."""
        changed = self._connection.execute(turn.update().where(*_ORPHANED).values(holder=None))
        return changed.rowcount

    def jobs_without(self) -> list[int]:
        """Jobs that are owed their answer and have no turn."""
        owed = job.c.state == JobState.RECEIVED.value
        return self._without(Work.JOB, job.c.job_id, owed)

    def deliveries_without(self) -> list[int]:
        """Deliveries that are owed and have no turn."""
        owed = delivery.c.state == DeliveryState.PENDING.value
        return self._without(Work.DELIVERY, delivery.c.delivery_id, owed)

    def commitments_without(self) -> list[int]:
        """Requests that are owed, or whose report is awaited, and that have no turn."""
        open_states = [CommitmentState.OWED.value, CommitmentState.AWAITED.value]
        owed = commitment.c.state.in_(open_states)
        return self._without(Work.COMMITMENT, commitment.c.commitment_id, owed)

    def _without(
        self, work: Work, row_id: sa.Column[int], owed: sa.ColumnElement[bool]
    ) -> list[int]:
        has_one = sa.exists().where(turn.c.work == work.value, turn.c.row_id == row_id)
        return list(
            self._connection.scalars(sa.select(row_id).where(owed, ~has_one).order_by(row_id))
        )


def _is(work: Work, row_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return turn.c.work == work.value, turn.c.row_id == row_id


def _read(row: sa.Row[Any]) -> Turn:
    return Turn(
        work=Work(row.work), row_id=row.row_id, run=row.run, given=row.given, tries=row.tries
    )


# One statement sees one moment: hosts join and take meanwhile.
_ORPHANED: Final = (
    turn.c.holder.is_not(None),
    turn.c.holder.not_in(sa.select(host.c.executor_id)),
)


# Built once: each C-STORE puts one, and every host looks five times a second.
def _put(insert: Any) -> Any:
    return insert.on_conflict_do_update(
        index_elements=[turn.c.work, turn.c.row_id],
        set_={name: insert.excluded[name] for name in ("run", "lane", "place", "due_at")}
        | {"again_at": None, "tries": 0, "given": turn.c.given + 1},
    )


_PUT: Final = _put(sqlite.insert(turn))
_PUT_ON_SERVER: Final = _put(postgresql.insert(turn))


def _lanes() -> sa.Select[tuple[str]]:
    """From each lane to the next by the index, past the thousands that wait in one."""
    first = sa.select(sa.func.min(turn.c.lane).label("lane")).where(turn.c.holder.is_(None))
    lanes = first.cte("lanes", recursive=True)
    following = first.where(turn.c.lane > lanes.c.lane).correlate(lanes).scalar_subquery()
    lanes = lanes.union_all(sa.select(following).where(lanes.c.lane.is_not(None)))
    return sa.select(lanes.c.lane).where(lanes.c.lane.is_not(None))


_LANES_WITH_WAITING: Final = _lanes()
_IN_HAND: Final = (
    sa.select(turn.c.holder, sa.func.count().label("number"))
    .where(turn.c.lane == sa.bindparam("of_lane"), turn.c.holder.is_not(None))
    .group_by(turn.c.holder)
)
_FIRST: Final = (
    turn.select()
    .where(
        turn.c.lane == sa.bindparam("of_lane"),
        sa.or_(turn.c.due_at.is_(None), turn.c.due_at <= sa.bindparam("now")),
    )
    .order_by(turn.c.place)
    .limit(sa.bindparam("size"))
)
_HELD: Final = turn.select().where(turn.c.holder == sa.bindparam("of_holder"))
