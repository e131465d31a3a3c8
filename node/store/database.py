"""One SQLAlchemy engine, set so that a committed row survives power loss."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from node.domain.errors import ConfigurationError, StorageError
from node.store import tables


def sqlite_url(file: Path) -> str:
    """The URL of an SQLite database in a file."""
    return f"sqlite:///{file}"


class Database:
    """The node's database: SQLite by default, PostgreSQL by URL."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        self.engine = _sqlite_engine(url) if is_sqlite else _server_engine(url)
        # SQLite has one write lock, and who waits for it there sleeps up to 0.1 s at a time.
        self._turn: AbstractContextManager[object] = (
            threading.Lock() if is_sqlite else nullcontext()
        )

    def prepare(self) -> None:
        """Make the tables where there are none.

        Raises ConfigurationError, before anything is changed, for a schema of another version.
        """
        try:
            tables.schema_version.create(self.engine, checkfirst=True)
            with self.write() as connection:
                found = connection.scalar(sa.select(tables.schema_version.c.version))
                if found is None:
                    connection.execute(
                        tables.schema_version.insert().values(version=tables.SCHEMA_VERSION)
                    )
            if found in (None, tables.SCHEMA_VERSION):
                tables.metadata.create_all(self.engine)
        except sa.exc.DBAPIError as error:
            raise StorageError(f"the database cannot be prepared: {_reason(error)}") from error
        if found not in (None, tables.SCHEMA_VERSION):
            raise ConfigurationError(
                f"the database has schema {found}, this version of cardionode needs "
                f"{tables.SCHEMA_VERSION}; run the version that wrote it until all is delivered, "
                "then start this one with another home folder or database"
            )

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that may write; durable when the block has ended without error.

        On SQLite the write lock is taken at once, so that what was read stays true until commit.
        Raises StorageError when the database does not take it.
        """
        try:
            with self._turn, self.engine.begin() as connection:
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageError(f"the database did not take it: {_reason(error)}") from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection to look with. Raises StorageError when the database does not answer."""
        try:
            with self.engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise StorageError(f"the database did not answer: {_reason(error)}") from error

    def close(self) -> None:
        self.engine.dispose()


def _reason(error: sa.exc.DBAPIError) -> str:
    """The driver's words without statement and parameters."""
    return type(error.orig).__name__ if error.orig is not None else "no connection"


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
    driver_url = url.replace("postgresql:", "postgresql+psycopg:", 1)
    return sa.create_engine(driver_url, pool_size=20, pool_pre_ping=True)
