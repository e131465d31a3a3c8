"""Hosts that add the same at one time."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from node.domain.errors import Overtaken
from node.engine.unit_of_work import EngineTransaction, EngineUnitOfWork
from node.store.database import Database
from tests.unit.engine.test_cluster import instance


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_what_another_host_has_just_added_is_seen_the_second_time(
    database: Database,
) -> None:
    """On SQLite nobody can: it has one writer at a time, who looks first."""
    database.prepare()
    one, other = EngineUnitOfWork(database), EngineUnitOfWork(database)
    tries: list[list[int]] = []

    def enter(transaction: EngineTransaction) -> int:
        earlier = [job.job_id for job in transaction.jobs.of_instance("1.1")]
        tries.append(earlier)
        if len(tries) == 1:  # between the look and the row, on another connection
            with other.begin() as there:
                there.jobs.add(instance("1.1"))
        return earlier[0] if earlier else transaction.jobs.add(instance("1.1"))

    job_id = one.together(enter)
    assert tries == [[], [job_id]]


def test_a_key_that_is_taken_is_told_from_a_row_that_is_wrong(database: Database) -> None:
    database.prepare()
    work = EngineUnitOfWork(database)
    with work.begin() as transaction:
        transaction.jobs.add(instance("1.1"))
    with pytest.raises(Overtaken), work.begin() as transaction:
        transaction.jobs.add(instance("1.1"))
    with pytest.raises(sa.exc.IntegrityError), work.begin() as transaction:
        transaction.jobs.add(instance("1.2"), conflicts_with=99)
