"""One SQLAlchemy engine, set so that a committed row survives power loss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from node.domain.errors import Overtaken, StorageError
from node.store.schema import HEAD, bring_up_to_date, check_revision, revision_of
from node.store.write_turn import WriteTurn

_NO_ANSWER = (sa.exc.OperationalError, sa.exc.InterfaceError)
"""Of the driver: it has no connection, or the server ends it."""
_FROZEN_AFTER = "8s"
"""In which a host that stops in the middle of a transaction holds up others."""
_TOOK_TOO_LONG = "25P03"
"""What such a host is told, and one that waited for its objects so long."""
_LIVELY = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
"""A server behind a network that is cut is given up in seconds, which by default takes minutes.
Source: parameters of libpq (s, ms)."""


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite database in a file."""
    return f"sqlite:///{file}"


class Database:
    """The node's database: SQLite by default, PostgreSQL by URL."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url) if is_sqlite else _server_engine(url)
        self._turn = WriteTurn() if is_sqlite else None
        self.others_engine = self.engine
        """For who opens transactions by itself: they wait for their turn too."""
        if self._turn is not None:
            self.others_engine = _sqlite_engine(url)
            self._turn.govern(self.others_engine)

    def prepare(self) -> str | None:
        """Make the tables where there are none; upgrade those of an earlier version.

        An SQLite file is copied first, beside itself. Says from which revision, where it did.
        Raises ConfigurationError, before anything is changed, for a schema of a newer version.
        """
        try:
            with self.read() as connection:
                found = revision_of(connection)
            if found is not None and found < HEAD:
                self._keep_copy(found)
            with self.write() as connection:
                found = bring_up_to_date(connection)
        except sa.exc.DBAPIError as error:
            raise StorageError(f"the database cannot be prepared: {_reason(error)}") from error
        return None if found in (None, HEAD) else found

    def check(self) -> None:
        """Pass where the tables are those of this version. Raises ConfigurationError."""
        with self.read() as connection:
            check_revision(connection)

    def _keep_copy(self, found: str) -> None:
        """Of an SQLite file as it is before an upgrade. Raises StorageError (there is no room)."""
        try:
            self.copy_to(Path(f"{self.engine.url.database}.schema-{found}"))
        except StorageError as error:
            raise StorageError(f"{error.message}; the database is not upgraded") from error

    def copy_to(self, copy: Path) -> Path | None:
        """The SQLite file as it is now, whole or not at all, in place of an earlier copy; `copy`.

        None of another database: it has tools of its own. Raises StorageError (there is no room).
        """
        if not self.engine.url.database or self.engine.dialect.name != "sqlite":
            return None
        unfinished = copy.with_name(f"{copy.name}.copy")
        unfinished.unlink(missing_ok=True)
        try:
            unfinished.touch(mode=0o600)
            with self.engine.connect() as connection:
                connection.exec_driver_sql("VACUUM INTO ?", (str(unfinished),))
            sync(unfinished)
        except (OSError, sa.exc.DBAPIError) as error:
            unfinished.unlink(missing_ok=True)
            raise StorageError(
                f"the database cannot be copied to {copy.name}; make room on that disk, as much as "
                "it takes itself, and start again"
            ) from error
        unfinished.replace(copy)
        sync(copy.parent)
        return copy

    @contextmanager
    def write(self, *, is_urgent: bool = False) -> Iterator[sa.Connection]:
        """One transaction that may write; durable when the block has ended without error.

        is_urgent: somebody waits for it, and it goes before those that nobody does.
        On SQLite the write lock is taken at once, so that what was read stays true until commit.
        Raises StorageError when the database does not take it, Overtaken when another host has
        added the same meanwhile.
        """
        try:
            turn = nullcontext() if self._turn is None else self._turn.taken(is_urgent=is_urgent)
            with turn, self.engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        except sa.exc.IntegrityError as error:
            if not _is_taken(error):
                raise
            raise Overtaken("another host has added the same meanwhile; try again") from error
        except (*_NO_ANSWER, sa.exc.InternalError) as error:
            if isinstance(error, sa.exc.InternalError) and _code(error) != _TOOK_TOO_LONG:
                raise
            raise StorageError(f"the database did not take it: {_reason(error)}") from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to look with. Raises StorageError when the database does not answer."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except _NO_ANSWER as error:
            raise StorageError(f"the database did not answer: {_reason(error)}") from error

    def close(self) -> None:
        self.others_engine.dispose()
        self.engine.dispose()


def sync(path: Path) -> None:
    """Have a file's bytes, or a folder's names, survive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_taken(error: sa.exc.IntegrityError) -> bool:
    """Whether a row with such a key is there already."""
    return _code(error) in ("23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY")


def _reason(error: sa.exc.DBAPIError) -> str:
    """What went wrong, without statement and parameters."""
    if error.orig is None:
        return "no connection"
    if _code(error) in ("53100", "SQLITE_FULL"):
        return "its disk is full; free space there"
    if _code(error) == _TOOK_TOO_LONG:
        return f"nothing came for {_FROZEN_AFTER}; is what keeps the objects slow?"
    return type(error.orig).__name__


def _code(error: sa.exc.DBAPIError) -> str | None:
    """SQLSTATE of PostgreSQL, or the name of SQLite's result code."""
    found = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    return None if found is None else str(found)


def _sqlite_engine(url: str) -> sa.Engine:
    # Few connections: more threads fighting for SQLite's one write lock made everything slower.
    engine = sa.create_engine(url, pool_size=4, max_overflow=0, pool_timeout=60, pool_use_lifo=True)

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = "IMMEDIATE"
        # synchronous FULL: under NORMAL a committed row can be lost with the power.
        for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def _server_engine(url: str) -> sa.Engine:
    named = sa.make_url(url).set(drivername="postgresql+psycopg")
    named = named.set(query=_LIVELY | dict(named.query))  # what the administrator says comes first
    engine = sa.create_engine(named, pool_size=20, pool_pre_ping=True)

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{_FROZEN_AFTER}'")
        connection.commit()  # else the pool takes it back

    return engine
