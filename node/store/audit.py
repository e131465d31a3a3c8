"""Who saw or did what: entries that are added and read, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import sqlalchemy as sa

from node.domain.audit import Action, Actor, AuditEntry
from node.store.tables import LONGEST_SAID, audit

_ACTIONS: Final = {action.value: action for action in Action}


class AuditTrail:
    """Reads and writes audit entries inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def note(
        self, by: Actor, action: Action, *, at: datetime, job_id: int | None = None, said: str = ""
    ) -> None:
        """Add an entry."""
        self._connection.execute(
            audit.insert().values(
                at=at,
                user_name=by.name,
                peer=by.peer,
                action=action.value,
                job_id=job_id,
                said=said[:LONGEST_SAID],
            )
        )

    def latest(
        self,
        *,
        limit: int,
        job_id: int | None = None,
        user_name: str | None = None,
        before: int | None = None,
    ) -> list[AuditEntry]:
        """The last first; of one job or one user where named, or with a smaller number."""
        query = audit.select().order_by(audit.c.entry_id.desc()).limit(limit)
        if job_id is not None:
            query = query.where(audit.c.job_id == job_id)
        if user_name is not None:
            query = query.where(audit.c.user_name == user_name)
        if before is not None:
            query = query.where(audit.c.entry_id < before)
        return [_read(row) for row in self._connection.execute(query)]

    def get(self, entry_id: int) -> AuditEntry | None:
        row = self._connection.execute(
            audit.select().where(audit.c.entry_id == entry_id)
        ).one_or_none()
        return None if row is None else _read(row)

    def forget_before(self, before: datetime, *, up_to: int | None, limit: int) -> int:
        """Remove so many of the oldest at most, those from before; how many.

        up_to: the last number that may go; None: any may.
        """
        query = sa.select(audit.c.entry_id, audit.c.at).order_by(audit.c.entry_id).limit(limit)
        if up_to is not None:
            query = query.where(audit.c.entry_id <= up_to)
        old = [row.entry_id for row in self._connection.execute(query) if row.at < before]
        if old:
            self._connection.execute(audit.delete().where(audit.c.entry_id.in_(old)))
        return len(old)

    def names(self) -> list[str]:
        """Who is in it, whether a user today or not."""
        query = sa.select(audit.c.user_name).distinct().order_by(audit.c.user_name)
        return list(self._connection.scalars(query))


def _read(row: sa.Row[tuple[object, ...]]) -> AuditEntry:
    return AuditEntry(
        entry_id=row.entry_id,
        at=row.at,
        user_name=row.user_name,
        peer=row.peer,
        action=_ACTIONS.get(row.action, Action.UNKNOWN),
        job_id=row.job_id,
        said=row.said,
    )
