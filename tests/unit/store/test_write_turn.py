"""Who writes to SQLite when: nobody sleeps for it, and who a sender waits for goes first."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from node.store.database import Database, sqlite_url
from node.store.write_turn import WriteTurn

SOON_S = 10.0


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "node.db"))
    with made.write() as connection:
        connection.exec_driver_sql("CREATE TABLE word (said TEXT)")
    yield made
    made.close()


def words(database: Database) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(sa.text("SELECT said FROM word ORDER BY rowid")))


def say(connection: sa.Connection, word: str) -> None:
    connection.execute(sa.text("INSERT INTO word VALUES (:said)"), {"said": word})


def test_who_is_waited_for_goes_before_those_that_came_earlier() -> None:
    turn, order = WriteTurn(), list[str]()
    waiting = threading.Semaphore(0)

    def work(name: str, *, is_urgent: bool) -> None:
        waiting.release()
        with turn.taken(is_urgent=is_urgent):
            order.append(name)

    with turn.taken():
        threads = []
        for name, is_urgent in (("a", False), ("b", False), ("c", True), ("d", True)):
            threads.append(
                threading.Thread(target=work, args=(name,), kwargs={"is_urgent": is_urgent})
            )
            threads[-1].start()
            assert waiting.acquire(timeout=SOON_S)
            while not _waits(turn, len(threads)):
                time.sleep(0.01)
        assert order == []
    for thread in threads:
        thread.join(SOON_S)
    assert order == ["c", "d", "a", "b"]


def _waits(turn: WriteTurn, count: int) -> bool:
    return len(turn._urgent._waiters) + len(turn._others._waiters) == count  # type: ignore[attr-defined]


def test_transactions_of_others_wait_for_their_turn_and_reads_for_nobody(
    database: Database,
) -> None:
    began, done = threading.Event(), threading.Event()

    def others() -> None:
        with database.others_engine.begin() as connection:
            connection.execute(sa.text("SELECT said FROM word"))
            began.set()
            say(connection, "others")
        done.set()

    with database.write() as connection:
        thread = threading.Thread(target=others)
        thread.start()
        assert began.wait(SOON_S), "it reads"
        assert not done.wait(0.3)
        say(connection, "first")
    assert done.wait(SOON_S)
    thread.join()
    assert words(database) == ["first", "others"]


@pytest.mark.parametrize("how", ["in our words", "of the database"])
def test_the_turn_of_others_ends_with_what_goes_wrong(database: Database, how: str) -> None:
    with (
        pytest.raises((ZeroDivisionError, sa.exc.OperationalError)),
        database.others_engine.begin() as connection,
    ):
        say(connection, "never")
        if how == "of the database":
            connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))
        raise ZeroDivisionError
    with database.others_engine.connect() as connection:
        say(connection, "not committed")
    with database.others_engine.connect() as connection:
        say(connection, "lost")
        connection.invalidate()
    with database.write() as connection:
        say(connection, "ours")
    assert words(database) == ["ours"]
