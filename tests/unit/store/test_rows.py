"""Jobs and deliveries: guarded states, one job an instance, nothing forgotten that is owed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from node.domain.delivery import (
    DeliveryOutcome,
    DeliveryState,
    DestinationKind,
    JobState,
    ResultKind,
)
from node.domain.instance import Origin, ReceivedInstance
from node.store.database import Database
from node.store.messages import Messages
from node.store.outbox import Outbox
from node.store.received import UNUSABLE, Jobs
from node.store.tables import job

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
INSTANCE = ReceivedInstance(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1",
    sop_instance_uid="1.2.3",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    origin=Origin(calling_ae="CART", called_ae="CARDIONODE", peer="127.0.0.1"),
    content_digest="a" * 64,
    size_bytes=5,
    received_at=NOW,
)


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    database.prepare()
    with database.write() as open_connection:
        yield open_connection


def owe(connection: sa.Connection, job_id: int) -> int:
    return Outbox(connection).add(
        job_id=job_id,
        kind=ResultKind.REPORT,
        identifier="2.25.1",
        sop_class_uid="1.2",
        destination="PACS",
        destination_kind=DestinationKind.DICOM,
        content_digest="b" * 64,
        revision=1,
        at=NOW,
    )


def test_a_job_comes_back_as_it_was_entered(connection: sa.Connection) -> None:
    jobs = Jobs(connection)
    job = jobs.get(jobs.add(INSTANCE))
    assert job is not None
    assert (job.state, job.run, job.origin) == (JobState.RECEIVED, 0, INSTANCE.origin)
    assert job.received_at == NOW


def test_an_instance_has_one_job_and_a_contradiction_stands_beside_it(
    connection: sa.Connection,
) -> None:
    jobs = Jobs(connection)
    first = jobs.add(INSTANCE)
    other = replace(INSTANCE, content_digest="c" * 64)
    with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
        jobs.add(other)
    jobs.add(other, conflicts_with=first)
    assert [job.state for job in jobs.of_instance("1.2.3")] == [
        JobState.RECEIVED,
        JobState.CONFLICT,
    ]


def test_a_settled_job_is_not_settled_again(connection: sa.Connection) -> None:
    jobs = Jobs(connection)
    job_id = jobs.add(INSTANCE)
    assert jobs.settle(job_id, JobState.COMPLETED, at=NOW)
    assert not jobs.settle(job_id, JobState.FAILED, at=NOW)
    assert jobs.start_again(job_id) is None


def test_a_failed_job_starts_again_as_a_new_run(connection: sa.Connection) -> None:
    jobs = Jobs(connection)
    job_id = jobs.add(INSTANCE)
    assert jobs.take_up(job_id, run=0) == 1
    jobs.settle(job_id, JobState.FAILED, at=NOW, error_code="x", error_message="why")
    assert jobs.start_again(job_id) == 2
    job = jobs.get(job_id)
    assert job is not None
    assert (job.state, job.error_code) == (JobState.RECEIVED, None)


def test_every_attempt_at_a_delivery_is_kept(connection: sa.Connection) -> None:
    outbox = Outbox(connection)
    delivery_id = owe(connection, Jobs(connection).add(INSTANCE))
    later = DeliveryOutcome(
        state=DeliveryState.PENDING, due_at=NOW, error_code="unreachable", error_message="no"
    )
    outbox.settle(delivery_id, later, started_at=NOW, at=NOW + timedelta(milliseconds=20))
    done = DeliveryOutcome(state=DeliveryState.DELIVERED)
    outbox.settle(delivery_id, done, started_at=NOW, at=NOW)
    assert [tried["state"] for tried in outbox.attempts_of(delivery_id)] == ["pending", "delivered"]
    assert outbox.attempts_of(delivery_id)[0]["duration_ms"] == 20
    delivery = outbox.get(delivery_id)
    assert delivery is not None
    assert (delivery.attempts, delivery.error_code) == (2, None)


def test_what_arrived_is_owed_again_only_by_whom_knows_that_it_did(
    connection: sa.Connection,
) -> None:
    outbox = Outbox(connection)
    delivery_id = owe(connection, Jobs(connection).add(INSTANCE))
    before = outbox.get(delivery_id)
    outbox.settle(
        delivery_id, DeliveryOutcome(state=DeliveryState.DELIVERED), started_at=NOW, at=NOW
    )
    there = outbox.get(delivery_id)
    assert before is not None
    assert there is not None
    assert outbox.start_again(before, at=NOW) is None
    assert not outbox.cancel(delivery_id, at=NOW)
    assert outbox.start_again(there, at=NOW) == 2
    again = outbox.get(delivery_id)
    assert again is not None
    assert (again.state, again.settled_at) == (DeliveryState.PENDING, None)


def test_what_arrived_somewhere_since_is_found(connection: sa.Connection) -> None:
    jobs, outbox = Jobs(connection), Outbox(connection)
    delivery_id = owe(connection, jobs.add(INSTANCE))
    assert outbox.jobs_arrived("PACS", since=NOW) == []
    outbox.settle(
        delivery_id, DeliveryOutcome(state=DeliveryState.DELIVERED), started_at=NOW, at=NOW
    )
    assert len(outbox.jobs_arrived("PACS", since=NOW)) == 1
    assert outbox.jobs_arrived("PACS", since=NOW + timedelta(seconds=1)) == []
    assert outbox.jobs_arrived("RIS", since=NOW) == []


def test_only_jobs_with_nothing_owed_are_old_enough_to_go(connection: sa.Connection) -> None:
    jobs, outbox = Jobs(connection), Outbox(connection)
    job_id = jobs.add(INSTANCE)
    delivery_id = owe(connection, job_id)
    jobs.settle(job_id, JobState.COMPLETED, at=NOW)
    later = NOW + timedelta(days=1)
    assert jobs.ended_before(later, limit=10) == []
    outbox.settle(
        delivery_id, DeliveryOutcome(state=DeliveryState.DELIVERED), started_at=NOW, at=NOW
    )
    assert [job.job_id for job in jobs.ended_before(later, limit=10)] == [job_id]
    assert jobs.digests() == {"a" * 64, "b" * 64}
    jobs.remove(job_id)
    assert jobs.digests() == set()
    assert outbox.attempts_of(delivery_id) == []


def test_jobs_that_failed_are_old_when_those_are_asked_for(connection: sa.Connection) -> None:
    jobs = Jobs(connection)
    failed, held = jobs.add(INSTANCE), jobs.add(replace(INSTANCE, sop_instance_uid="1.2.9"))
    jobs.settle(failed, JobState.FAILED, at=NOW, error_code="malformed", error_message="cut")
    jobs.settle(held, JobState.HELD, at=NOW, error_code="uncertain", error_message="whose?")
    conflict = jobs.add(replace(INSTANCE, content_digest="c" * 64), conflicts_with=failed)
    later = NOW + timedelta(days=1)
    assert jobs.ended_before(later, limit=10) == []
    old = jobs.ended_before(later, limit=10, states=UNUSABLE)
    assert [each.job_id for each in old] == [failed, conflict]
    assert jobs.ended_before(NOW, limit=10, states=UNUSABLE) == []
    connection.execute(job.update().where(job.c.job_id == failed).values(revision=2))
    old = jobs.ended_before(later, limit=10, states=UNUSABLE)
    assert [each.job_id for each in old] == [conflict], "a correction that failed is not alone"


def test_the_same_message_is_listed_once(connection: sa.Connection) -> None:
    messages = Messages(connection)

    def add(name: str, error: str | None = None) -> int | None:
        return messages.add(
            control_id="1",
            message_type="ADT^A01",
            peer="x",
            content_digest=name * 64,
            at=NOW,
            unmarked_charset="ASCII",
            error=error,
        )

    assert add("a") == 1
    assert add("a") is None
    assert add("b", "unusable") == 2
    assert add("b", "unusable") is None
    assert add("b") == 2  # it can be used now
    assert add("b") is None
    assert [each.error_message for each in messages.latest(limit=9)] == [None, None]


def test_what_was_settled_meanwhile_is_not_taken_up(connection: sa.Connection) -> None:
    jobs, outbox = Jobs(connection), Outbox(connection)
    job_id = jobs.add(INSTANCE)
    delivery_id = owe(connection, job_id)
    assert (jobs.take_up(job_id, run=0), outbox.take_up(delivery_id, run=1)) == (1, 2)
    assert (jobs.take_up(job_id, run=0), outbox.take_up(delivery_id, run=1)) == (None, None)
    jobs.settle(job_id, JobState.COMPLETED, at=NOW)
    outbox.settle(delivery_id, DeliveryOutcome(state=DeliveryState.STORED), started_at=NOW, at=NOW)
    assert (jobs.take_up(job_id, run=1), outbox.take_up(delivery_id, run=2)) == (None, None)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_commits_survive_power_loss_by_its_settings(connection: sa.Connection) -> None:
    assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    # 2 is FULL. Source: sqlite.org/pragma.html#pragma_synchronous
    assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
