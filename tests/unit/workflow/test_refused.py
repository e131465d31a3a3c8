"""Refusals on their way into the store: whatever comes within a second costs one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from node.domain.caller import Refusal
from node.domain.errors import StorageError
from node.workflow.refused import AT_ONCE, RefusalBook
from tests.fakes import Clock, MemoryTransaction, MemoryUnitOfWork, Notes


class CountedWork(MemoryUnitOfWork):
    def __init__(self) -> None:
        super().__init__()
        self.begun = 0
        self.error: StorageError | None = None

    @contextmanager
    def begin(self) -> Iterator[MemoryTransaction]:
        self.begun += 1
        if self.error is not None:
            raise self.error
        with super().begin() as transaction:
            yield transaction


@pytest.fixture
def work() -> Iterator[CountedWork]:
    made = CountedWork()
    yield made
    made.close()


def refusal(**fields: Any) -> Refusal:
    named = {"calling_ae": "CART", "called_ae": "X", "peer": "192.0.2.1", "reason": "unknown"}
    return Refusal(**(named | fields))


def test_a_flood_is_one_transaction_and_few_rows(work: CountedWork) -> None:
    book = RefusalBook(work=work, telemetry=Notes(), clock=Clock())
    for number in range(10_000):
        book.note(refusal())
        book.note(refusal(peer=f"2001:db8::{number:x}"))
    book.write()
    assert work.begun == 1
    with work.begin() as transaction:
        listed = transaction.refused.latest()
    assert len(listed) == AT_ONCE
    assert max(each.count for each in listed) == 10_000


def test_what_is_pending_at_the_end_is_written(work: CountedWork) -> None:
    book = RefusalBook(work=work, telemetry=Notes(), clock=Clock())
    book.start()
    book.note(refusal())
    book.stop()
    with work.begin() as transaction:
        assert [each.refusal for each in transaction.refused.latest()] == [refusal()]


def test_a_store_that_takes_nothing_is_said_and_the_book_goes_on(work: CountedWork) -> None:
    notes = Notes()
    book = RefusalBook(work=work, telemetry=notes, clock=Clock())
    work.error = StorageError("the database did not take it")
    book.note(refusal())
    book.write()
    (told,) = notes.said("refused callers not kept")
    assert (told["count"], told["error_code"]) == (1, "storage")
    work.error = None
    book.note(refusal())
    book.write()
    with work.begin() as transaction:
        assert transaction.refused.latest()[0].count == 1
