"""What the database says when it does not take something, in words for an administrator."""

from __future__ import annotations

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
