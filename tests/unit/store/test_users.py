"""Users as rows, on each database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from node.domain.user import Role, User
from node.store.database import Database
from node.store.users import Users

AT = datetime(2026, 1, 1, tzinfo=UTC)
CURIE = User(
    name="curie",
    role=Role.ADMIN,
    person_name="Curie^Marie",
    password_hash="$argon2id$secret",
    added_at=AT,
    failures=0,
    failed_at=None,
)


def test_a_user_is_read_as_was_written_and_is_there_once(database: Database) -> None:
    database.prepare()
    with database.write() as connection:
        assert Users(connection).add(CURIE)
    with database.engine.connect() as connection:
        assert not Users(connection).add(CURIE)
    with database.write() as connection:
        assert Users(connection).all() == [CURIE]
        assert Users(connection).lock("curie") == CURIE
        assert Users(connection).lock("joliot") is None


def test_attempts_at_one_moment_are_counted_one_by_one(database: Database) -> None:
    database.prepare()
    with database.write() as connection:
        Users(connection).add(CURIE)

    def attempt(_: int) -> int:
        with database.write() as connection:
            user = Users(connection).lock("curie")
            assert user is not None
            Users(connection).note_failure("curie", at=AT)
            return user.failures

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(attempt, range(16))) == list(range(16))
