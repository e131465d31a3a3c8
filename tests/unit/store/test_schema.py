"""Databases of earlier versions are upgraded, those of newer ones refused, neither in part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from node.domain.delivery import DeliveryOutcome, DeliveryState
from node.domain.errors import ConfigurationError, StorageError
from node.store.database import Database
from node.store.outbox import Outbox
from node.store.received import Jobs
from node.store.relay import Stream
from node.store.schema import BASE, HEAD, SCRIPTS, revision_of
from node.store.tables import attempt, metadata, relay, revision
from tests.unit.store.test_rows import INSTANCE, NOW, owe

ADDED = (
    "node_user", "node_session", "node_audit", "node_signature", "node_host", "node_turn",
    "node_revision", "node_relay",
)  # fmt: skip
"""Tables since there are scripts."""
ADDED_COLUMN = re.compile(
    r"\s*signs INTEGER,|,\s*FOREIGN KEY\(signs\) REFERENCES node_delivery \(delivery_id\)"
)


def make_base(database: Database) -> None:
    """The tables as they were before there were scripts."""
    dialect = database.engine.dialect
    with database.write() as connection:
        for table in metadata.sorted_tables:
            if table.name not in ADDED:
                made = str(sa.schema.CreateTable(table).compile(dialect=dialect))
                if table is attempt:
                    made = made.replace("AUTOINCREMENT", "")
                connection.exec_driver_sql(ADDED_COLUMN.sub("", made))
                for index in table.indexes:
                    index.create(connection)
        connection.exec_driver_sql("CREATE TABLE node_schema_version (version INTEGER NOT NULL)")
        connection.exec_driver_sql("INSERT INTO node_schema_version VALUES (6)")


def attempt_at(connection: sa.Connection, delivery_id: int) -> None:
    later = DeliveryOutcome(state=DeliveryState.PENDING, due_at=NOW)
    Outbox(connection).settle(delivery_id, later, started_at=NOW, at=NOW)


def differences(database: Database) -> list[object]:
    """Between the tables that are there and those of this version."""
    with database.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
            },
        )
        return list(compare_metadata(context, metadata))


def test_the_last_script_is_the_one_that_this_version_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    assert all(
        Path(each.path).name.startswith(f"{each.revision}_") for each in scripts.walk_revisions()
    )


def test_an_upgraded_database_has_the_tables_of_a_new_one(database: Database) -> None:
    make_base(database)
    assert differences(database) != []
    assert database.prepare() == BASE
    assert differences(database) == []
    with database.read() as connection:
        assert revision_of(connection) == HEAD
    assert database.prepare() is None


def test_the_number_of_an_attempt_that_is_gone_never_comes_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_base(database)
    with monkeypatch.context() as patched:
        patched.setattr("node.store.schema.HEAD", "0006")
        database.prepare()
    with database.write() as connection:
        delivery_id = owe(connection, Jobs(connection).add(INSTANCE))
        for _ in range(2):
            attempt_at(connection, delivery_id)
        row = {"stream": Stream.ATTEMPTS.value, "told_to": 9}  # whose attempts are gone
        connection.execute(relay.insert().values(row))
    database.prepare()
    with database.write() as connection:
        is_sqlite = connection.dialect.name == "sqlite"  # which gave a number twice
        assert connection.scalar(sa.select(relay.c.told_to)) == (0 if is_sqlite else 9)
        assert [each["state"] for each in Outbox(connection).attempts_of(delivery_id)] == [
            "pending", "pending"
        ]  # fmt: skip
        connection.execute(attempt.delete())
        attempt_at(connection, delivery_id)
        assert connection.scalar(sa.select(attempt.c.attempt_id)) == 3


def test_a_new_database_needs_no_script(database: Database, tmp_path: Path) -> None:
    assert database.prepare() is None
    assert differences(database) == []
    database.check()
    assert [path.name for path in tmp_path.glob("*.schema-*")] == []


def test_the_file_as_it_was_is_kept_beside_the_upgraded_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/node.db")
    make_base(database)
    database.prepare()
    copy = Database(f"sqlite:///{tmp_path}/node.db.schema-{BASE}")
    with copy.read() as connection:
        assert revision_of(connection) == BASE
    copy.close()
    database.close()


def test_without_room_for_the_copy_nothing_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path}/node.db")
    make_base(database)

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("node.store.database.sync", full)
        with pytest.raises(StorageError, match=r"node\.db\.schema-0000; make room"):
            database.prepare()
    with database.read() as connection:
        assert revision_of(connection) == BASE
    assert sorted(path.name for path in tmp_path.glob("node.db*") if "-" not in path.name) == [
        "node.db"
    ]
    database.close()


def test_a_copy_of_an_earlier_try_is_made_anew(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/node.db")
    make_base(database)
    copy = tmp_path / f"node.db.schema-{BASE}"
    copy.write_bytes(b"half of it")
    (tmp_path / "node.db.copy").write_bytes(b"a part of another")
    database.prepare()
    assert copy.read_bytes().startswith(b"SQLite format 3")
    assert copy.stat().st_mode & 0o777 == 0o600
    database.close()


def test_a_command_where_no_node_has_started_says_so(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="makes them at its start"):
        database.check()


def test_an_upgrade_that_fails_leaves_the_tables_as_they_were(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_base(database)

    def fails(connection: sa.Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE node_user (name TEXT)")
        raise OSError("the power fails")

    with monkeypatch.context() as patched:
        patched.setattr("node.store.schema._run_scripts", fails)
        with pytest.raises(OSError, match="power"):
            database.prepare()
    assert "node_user" not in sa.inspect(database.engine).get_table_names()
    assert database.prepare() == BASE
    assert differences(database) == []


def test_what_a_newer_version_wrote_is_refused_and_left_as_it_is(database: Database) -> None:
    database.prepare()
    with database.write() as connection:
        connection.execute(revision.update().values(version_num="9999"))
    for ask in (database.prepare, database.check):
        with pytest.raises(ConfigurationError, match="a newer version of cardionode wrote"):
            ask()


@pytest.mark.parametrize("version", [1, 99])
def test_what_is_too_old_is_refused_and_left_as_it_is(database: Database, version: int) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE node_schema_version (version INTEGER NOT NULL)")
        connection.exec_driver_sql(f"INSERT INTO node_schema_version VALUES ({version})")
    with pytest.raises(ConfigurationError, match=f"schema {version}"):
        database.prepare()
    assert sa.inspect(database.engine).get_table_names() == ["node_schema_version"]


def test_a_command_beside_an_earlier_version_says_what_upgrades_it(database: Database) -> None:
    make_base(database)
    with pytest.raises(ConfigurationError, match="`cardionode serve` upgrades it"):
        database.check()
    assert differences(database) != []
