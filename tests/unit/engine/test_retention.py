"""What people did is forgotten by age, where that is asked for, and told first."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from node.domain.audit import Action
from node.engine import retention
from node.engine.retention import forget_entries
from node.store.relay import Stream
from tests.fakes import SOMEBODY, Clock, MemoryUnitOfWork

NOW = Clock().now


@pytest.fixture
def work() -> MemoryUnitOfWork:
    """Seven entries, a day apart; the last of today."""
    made = MemoryUnitOfWork()
    with made.begin() as transaction:
        for days in range(6, -1, -1):
            transaction.audit.note(SOMEBODY, Action.SIGNED_IN, at=NOW - timedelta(days=days))
    return made


def kept(work: MemoryUnitOfWork) -> list[int]:
    with work.look() as transaction:
        return sorted(each.entry_id for each in transaction.audit.latest(limit=100))


def forget(work: MemoryUnitOfWork, days: int, *, told: bool = False, now: datetime = NOW) -> int:
    return forget_entries(work, now=now, audit_days=days, is_audit_told=told)


def test_without_an_age_nothing_is_forgotten(work: MemoryUnitOfWork) -> None:
    assert forget(work, 0, now=NOW + timedelta(days=9999)) == 0
    assert len(kept(work)) == 7


def test_what_is_older_goes_however_much_it_is(
    work: MemoryUnitOfWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    assert forget(work, 2) == 4  # 6, 5, 4 and 3 days old
    assert kept(work) == [5, 6, 7]
    assert forget(work, 2) == 0


def test_what_the_audit_repository_has_yet_to_be_told_stays(work: MemoryUnitOfWork) -> None:
    assert forget(work, 2, told=True) == 0  # nothing was told yet
    with work.begin() as transaction:
        transaction.relay.begin(Stream.ENTRIES, 3)
    assert forget(work, 2, told=True) == 3
    assert kept(work) == [4, 5, 6, 7]
    assert forget(work, 2) == 1  # of a node that tells nobody


def test_numbers_are_not_given_again(work: MemoryUnitOfWork) -> None:
    """By them the audit repository is told what is new."""
    assert forget(work, 1, now=NOW + timedelta(days=9)) == 7
    with work.begin() as transaction:
        transaction.audit.note(SOMEBODY, Action.SIGNED_IN, at=NOW)
    assert kept(work) == [8]
