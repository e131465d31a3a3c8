"""Refused callers: each once a reason, counted, and never more than some hundreds of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from node.domain.caller import Refusal
from node.store.database import Database
from node.store.refused import KEPT, KEPT_OF_ONE_ADDRESS, RefusedCallers

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def refusal(number: int = 0, peer: str = "192.0.2.1", reason: str = "unknown") -> Refusal:
    return Refusal(calling_ae=f"CART{number}", called_ae="CARDIONODE", peer=peer, reason=reason)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    database = Database(f"sqlite:///{tmp_path}/node.db")
    database.prepare()
    with database.write() as open_connection:
        yield open_connection
    database.close()


def test_the_same_caller_with_the_same_reason_is_one_row_that_counts(
    connection: sa.Connection,
) -> None:
    callers = RefusedCallers(connection)
    callers.add({refusal(): 3}, at=NOW)
    callers.add({refusal(): 4, refusal(reason="full"): 1}, at=NOW + timedelta(seconds=9))
    first, second = sorted(callers.latest(), key=lambda each: each.number)
    assert (first.refusal, first.count) == (refusal(), 7)
    assert (first.first_seen_at, first.last_seen_at) == (NOW, NOW + timedelta(seconds=9))
    assert (second.refusal.reason, second.count) == ("full", 1)
    assert callers.get(first.number) == first
    assert callers.get(99) is None


def test_an_address_under_ever_new_names_pushes_nobody_out(connection: sa.Connection) -> None:
    callers = RefusedCallers(connection)
    callers.add({refusal(peer="192.0.2.9"): 1}, at=NOW)
    for number in range(3 * KEPT):
        callers.add({refusal(number): 1}, at=NOW + timedelta(seconds=number))
    listed = callers.latest()
    assert len(listed) == KEPT_OF_ONE_ADDRESS + 1
    assert listed[0].refusal.calling_ae == f"CART{3 * KEPT - 1}"
    assert listed[-1].refusal.peer == "192.0.2.9"


def test_of_very_many_addresses_the_longest_unseen_are_forgotten(
    connection: sa.Connection,
) -> None:
    callers = RefusedCallers(connection)
    for number in range(KEPT + 5):
        at = NOW + timedelta(seconds=number)
        callers.add({refusal(peer=f"2001:db8::{number:x}"): 1}, at=at)
    listed = callers.latest()
    assert len(listed) == KEPT
    assert listed[-1].refusal.peer == "2001:db8::5"
