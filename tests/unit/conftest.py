"""Each database that the node can have."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from node.store.database import Database
from tests.postgresql import server

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database of a server that runs, without its name."""
    with server() as running:
        yield running.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty one."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/node.db"
    else:
        socket, name = request.getfixturevalue("postgresql"), f"node{next(_NUMBERS)}"
        with psycopg.connect(socket.format(name="postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        url = socket.format(name=name)
    made = Database(url)
    yield made
    made.close()
