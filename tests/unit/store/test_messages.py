"""Old messages are forgotten with what they told, but for identifiers that were given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from node.domain.order import OrderKeys
from node.engine.unit_of_work import EngineTransaction, EngineUnitOfWork
from node.store.database import Database

AT = datetime(2026, 1, 1, tzinfo=UTC)


def add(transaction: EngineTransaction, number: int, *, days: int) -> int:
    added = transaction.messages.add(
        control_id=f"C{number}",
        message_type="ADT^A08",
        peer="192.0.2.9",
        content_digest=str(number),
        at=AT + timedelta(days=days),
        unmarked_charset="ASCII",
    )
    assert added is not None
    return added


def test_old_messages_go_with_what_they_told_and_merges_stay(database: Database) -> None:
    database.prepare()
    work = EngineUnitOfWork(database)
    keys = OrderKeys(
        placer_digest="p", filler_digest=None, accession_digest="a", procedure_digest=None,
        study_instance_uid=None,
    )  # fmt: skip
    with work.begin() as transaction:
        transaction.patients.put("plain", message_id=add(transaction, 1, days=0), place=0)
        transaction.patients.merge(
            "given up", into="in use", message_id=add(transaction, 2, days=1), place=0
        )
        transaction.patients.put("in use", message_id=add(transaction, 3, days=2), place=0)
        transaction.orders.put(
            keys, message_id=add(transaction, 4, days=3), place=0, is_cancelled=None
        )
        add(transaction, 5, days=4)
        transaction.patients.put("lately", message_id=add(transaction, 6, days=200), place=0)
    before = AT + timedelta(days=100)
    with work.begin() as transaction:
        assert transaction.messages.forget_before(before, limit=2) == {"1", "4"}
        assert transaction.messages.forget_before(before, limit=2) == {"5"}
        assert transaction.messages.forget_before(before, limit=2) == set()
    with work.begin() as transaction:
        assert transaction.patients.find("plain") is None
        found = transaction.patients.find("given up")
        assert found is not None
        assert found.patient_digest == "in use"
        assert transaction.patients.find("lately") is not None
        assert transaction.orders.find(study_instance_uid="1.2", accession_digest="a") == ()
        assert {each.control_id for each in transaction.messages.latest(limit=9)} == {
            "C2", "C3", "C6",
        }  # fmt: skip
