"""Merges in any order and any circle: every identifier leads to one that is in use."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import MemoryTransaction, MemoryUnitOfWork

PATIENTS = st.sampled_from("ABCDE")


def message(transaction: MemoryTransaction, number: int) -> int:
    added = transaction.messages.add(
        control_id=str(number),
        message_type="ADT^A40",
        peer="192.0.2.9",
        content_digest=str(number),
        at=datetime(2026, 11, 26, tzinfo=UTC),
        unmarked_charset="ASCII",
    )
    assert added is not None
    return added


@given(st.lists(st.tuples(PATIENTS, PATIENTS), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_after_any_merges_everybody_is_who_the_last_ones_say(
    merges: list[tuple[str, str]],
) -> None:
    work = MemoryUnitOfWork()
    leads_to: dict[str, str] = {}
    with work.begin() as transaction:
        for number, (prior, into) in enumerate(merges):
            transaction.patients.merge(
                prior, into=into, message_id=message(transaction, number), place=0
            )
            leads_to.pop(into, None)  # in use again
            if prior != into:
                leads_to[prior] = into
        for asked in "ABCDE":
            expected = asked
            while expected in leads_to:
                expected = leads_to[expected]
            found = transaction.patients.find(asked)
            assert (asked if found is None else found.patient_digest) == expected
            assert found is None or found.was_merged is (expected != asked)
            assert (asked in transaction.patients.merged_into(expected)) is (expected != asked)
    work.close()


def test_the_last_message_speaks_for_a_patient() -> None:
    work = MemoryUnitOfWork()
    with work.begin() as transaction:
        transaction.patients.put("A", message_id=message(transaction, 1), place=0)
        transaction.patients.put("A", message_id=message(transaction, 2), place=3)
        found = transaction.patients.find("A")
        assert found is not None
        (word,) = found.words
        assert (word.content_digest, word.place) == ("2", 3)
        assert transaction.patients.find("B") is None
    work.close()
