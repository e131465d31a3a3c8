"""The hosts that are alive: rows that each keeps changing."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from node.domain.host import Host, HostRole
from node.store.tables import LONGEST_SAID, host


class Hosts:
    """Reads and writes hosts inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def join(self, new: Host) -> None:
        """Add one, in place of those that had its machine, home and roles before it."""
        self._connection.execute(
            host.delete().where(
                host.c.machine == new.machine,
                host.c.home == new.home,
                host.c.roles == _written(new.roles),
            )
        )
        self._connection.execute(
            host.insert().values(
                executor_id=new.executor_id,
                machine=new.machine,
                home=new.home,
                store=new.store,
                roles=_written(new.roles),
                configuration=new.configuration,
                not_taken_up=new.not_taken_up[:LONGEST_SAID],
                beats=new.beats,
                started_at=new.started_at,
                beat_at=new.beat_at,
            )
        )

    def beat(self, executor_id: str, *, beats: int, at: datetime) -> bool:
        """Say that it lives, for the how manieth time; False where it is no host any more."""
        changed = self._connection.execute(
            host.update().where(host.c.executor_id == executor_id).values(beats=beats, beat_at=at)
        )
        return changed.rowcount == 1

    def explain(self, executor_id: str, not_taken_up: str) -> None:
        """Write why it goes on by the configuration it has, as `Host` has it."""
        self._connection.execute(
            host.update()
            .where(host.c.executor_id == executor_id)
            .values(not_taken_up=not_taken_up[:LONGEST_SAID])
        )

    def all(self) -> list[Host]:
        """The first started first."""
        query = host.select().order_by(host.c.started_at, host.c.executor_id)
        return [_read(row) for row in self._connection.execute(query)]

    def remove(self, executor_id: str, *, beats: int | None = None) -> bool:
        """Take it out; with `beats`, only where it said nothing since. Whether it was taken out."""
        gone = host.delete().where(host.c.executor_id == executor_id)
        if beats is not None:
            gone = gone.where(host.c.beats == beats)
        return self._connection.execute(gone).rowcount == 1


def _written(roles: frozenset[HostRole]) -> str:
    """Without the console's, which nobody takes over and hosts of before it cannot read."""
    return " ".join(role.value for role in HostRole if role in roles and role is not HostRole.WEB)


def _read(row: sa.Row[tuple[object, ...]]) -> Host:
    return Host(
        executor_id=row.executor_id,
        machine=row.machine,
        home=row.home,
        store=row.store,
        roles=frozenset(HostRole(role) for role in row.roles.split()),
        configuration=row.configuration,
        not_taken_up=row.not_taken_up,
        beats=row.beats,
        started_at=row.started_at,
        beat_at=row.beat_at,
    )
