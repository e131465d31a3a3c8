"""What the console reads and writes, on each database: sessions, the audit, lists and counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from node.domain.audit import Action, Actor
from node.domain.delivery import DeliveryOutcome, DeliveryState, JobState
from node.domain.user import Role, User
from node.store.audit import AuditTrail
from node.store.database import Database
from node.store.messages import Messages
from node.store.outbox import Outbox
from node.store.received import Jobs
from node.store.sessions import SessionBook
from node.store.tables import LONGEST_SAID
from node.store.users import Users
from tests.unit.store.test_rows import INSTANCE, NOW, owe

CURIE = User(
    name="curie", role=Role.OPERATOR, person_name="Curie^Marie", password_hash="x" * 97,
    added_at=NOW, failures=0, failed_at=None,
)  # fmt: skip
DIGEST = "d" * 64


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    database.prepare()
    with database.write() as open_connection:
        assert Users(open_connection).add(CURIE)
        yield open_connection


def received(connection: sa.Connection, count: int) -> list[int]:
    """So many jobs, a minute apart."""
    return [
        Jobs(connection).add(
            replace(
                INSTANCE,
                sop_instance_uid=f"1.2.{number}",
                received_at=NOW + timedelta(minutes=number),
            ),
            patient_digest=str(number) * 64,
        )
        for number in range(1, count + 1)
    ]


def test_a_session_is_found_with_its_user_until_it_is_removed(connection: sa.Connection) -> None:
    book = SessionBook(connection)
    book.add(DIGEST, "curie", at=NOW)
    book.note_seen(DIGEST, at=NOW + timedelta(minutes=1))
    found = book.find(DIGEST)
    assert found is not None
    assert (found.user, found.signed_in_at) == (CURIE, NOW)
    assert found.seen_at == NOW + timedelta(minutes=1)
    assert book.find("e" * 64) is None
    book.remove_unseen_since(NOW)
    assert book.find(DIGEST) is not None
    book.remove_unseen_since(NOW + timedelta(hours=1))
    assert book.find(DIGEST) is None
    for remove in (lambda: book.remove(DIGEST), lambda: book.remove_of("curie")):
        book.add(DIGEST, "curie", at=NOW)
        remove()
        assert book.find(DIGEST) is None
    assert Users(connection).remove("curie")


def test_the_audit_gives_back_what_was_noted_the_last_first(connection: sa.Connection) -> None:
    trail = AuditTrail(connection)
    curie, root = Actor(name="curie", peer="2001:db8::1"), Actor(name="root", peer="command line")
    trail.note(curie, Action.VIEWED, at=NOW, job_id=7)
    trail.note(root, Action.RETRIED, at=NOW, job_id=8, said="é" * 2 * LONGEST_SAID)
    trail.note(curie, Action.SIGNED_OUT, at=NOW)
    out, retried, viewed = trail.latest(limit=9)
    assert [each.action for each in (out, retried, viewed)] == [
        Action.SIGNED_OUT, Action.RETRIED, Action.VIEWED,
    ]  # fmt: skip
    assert retried.said == "é" * LONGEST_SAID
    assert trail.latest(limit=9, job_id=7) == [viewed]
    assert trail.latest(limit=1, user_name="curie") == [out]
    assert trail.latest(limit=9, before=retried.entry_id) == [viewed]
    assert trail.names() == ["curie", "root"]


def test_jobs_are_listed_in_pages_and_found_by_what_knows_them(connection: sa.Connection) -> None:
    jobs = Jobs(connection)
    first, second, third = received(connection, 3)
    assert [each.job_id for each in jobs.latest(limit=2)] == [third, second]
    assert [each.job_id for each in jobs.latest(limit=9, before=second)] == [first]

    def known_by(uid: str = "", patient: str = "") -> list[int]:
        found = jobs.known_by(uid, patient_digest=patient, accession_digest="", limit=9)
        return [each.job_id for each in found]

    assert known_by("1.2.2") == [second]
    assert known_by(patient="3" * 64) == [third]
    assert known_by("1.2.9") == []


def test_times_are_of_the_last_ones_and_answers_of_what_was_answered(
    connection: sa.Connection,
) -> None:
    jobs = Jobs(connection)
    first, second, _ = received(connection, 3)
    answered_at = NOW + timedelta(minutes=5)
    jobs.settle(first, JobState.COMPLETED, at=answered_at)
    jobs.settle(second, JobState.CANCELLED, at=answered_at)
    minutes = [NOW + timedelta(minutes=number) for number in (1, 2, 3)]
    assert jobs.times_since(NOW, limit=99) == [
        (minutes[2], None), (minutes[1], None), (minutes[0], answered_at),
    ]  # fmt: skip
    assert jobs.times_since(minutes[1], limit=99) == [(minutes[2], None), (minutes[1], None)]
    assert jobs.times_since(NOW, limit=1) == [(minutes[2], None)]


def test_what_is_owed_longest_and_what_stopped_is_found(connection: sa.Connection) -> None:
    outbox = Outbox(connection)
    owed = [owe(connection, job_id) for job_id in received(connection, 3)]
    refused = DeliveryOutcome(
        state=DeliveryState.REFUSED, error_code="refused", error_message="full"
    )
    outbox.settle(owed[0], refused, started_at=NOW, at=NOW)
    oldest = outbox.oldest_pending()
    assert {name: each.delivery_id for name, each in oldest.items()} == {"PACS": owed[1]}
    assert [each.delivery_id for each in outbox.stopped(limit=9)] == [owed[0]]


def test_a_message_is_found_by_its_number(connection: sa.Connection) -> None:
    messages = Messages(connection)
    numbers = [
        messages.add(
            control_id=f"C{number}",
            message_type="ADT^A08",
            peer="192.0.2.4",
            at=NOW,
            content_digest=DIGEST,
            unmarked_charset="ASCII",
        )
        for number in range(3)
    ]
    first, second, third = (number or 0 for number in numbers)
    found = messages.get(second)
    assert found is not None
    assert found.control_id == "C1"
    assert messages.get(third + 1) is None
    assert [each.message_id for each in messages.latest(limit=9, before=third)] == [second, first]
