"""What the database says when it does not take something, in words for an administrator."""

from __future__ import annotations

import time

import psycopg
import pytest
import sqlalchemy as sa

from node.domain.errors import StorageError
from node.store.database import Database


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (psycopg.errors.DiskFull("could not extend file"), "its disk is full; free space there"),
        (psycopg.OperationalError("Doe^Jane"), "OperationalError"),
        (None, "no connection"),
    ],
)
def test_why_is_said_without_the_driver_s_words(
    database: Database, failure: Exception | None, reason: str
) -> None:
    with pytest.raises(StorageError) as told, database.write():
        raise sa.exc.OperationalError("INSERT", {"name": "Doe^Jane"}, failure)  # type: ignore[arg-type]
    assert told.value.message == f"the database did not take it: {reason}"


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_transaction_that_waited_too_long_is_worth_another_try(
    postgresql: str, goes_on: bool
) -> None:
    """PostgreSQL ends what does nothing, as it seems while objects are waited for."""
    database = Database(postgresql.format(name="postgres"))
    with pytest.raises(StorageError) as told, database.write() as connection:
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '100ms'"))
        time.sleep(0.5)
        if not goes_on:
            raise StorageError("the bucket did not answer")
        connection.execute(sa.text("SELECT 1"))
    assert told.value.message in (
        "the database did not take it: nothing came for 8s; is what keeps the objects slow?",
        "the bucket did not answer",
    )
    with database.read() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    database.close()
