"""Which orders are one and the same, by the numbers that messages give of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from node.domain.order import OrderKeys
from tests.fakes import MemoryTransaction, MemoryUnitOfWork
from tests.unit.store.test_patients import message


@pytest.fixture
def transaction() -> Iterator[MemoryTransaction]:
    work = MemoryUnitOfWork()
    with work.begin() as begun:
        yield begun
    work.close()


def keys(numbers: str) -> OrderKeys:
    """E.g. "placer=P1 study=1.2.3"."""
    given = dict(each.split("=") for each in numbers.split())
    return OrderKeys(
        placer_digest=given.get("placer"),
        filler_digest=given.get("filler"),
        accession_digest=given.get("accession"),
        procedure_digest=given.get("procedure"),
        study_instance_uid=given.get("study"),
    )


@pytest.mark.parametrize(
    ("first", "second", "orders"),
    [
        ("placer=P1 accession=A1", "placer=P1 accession=A1", 1),
        ("placer=P1 accession=A1", "placer=P1 filler=F1 accession=A1", 1),
        ("placer=P1 filler=F1 accession=A1", "filler=F1 accession=A1", 1),
        ("placer=P1 filler=F1 accession=A1", "placer=P2 filler=F1 accession=A1", 2),
        ("placer=P1 accession=A1 procedure=R1", "placer=P1 accession=A1 procedure=R2", 2),
        ("placer=P1 accession=A1 procedure=R1", "placer=P1 accession=A1", 1),
        ("placer=P1 accession=A1", "placer=P2 accession=A1", 2),
        ("placer=P1 accession=A1", "accession=A1", 2),
        ("accession=A1", "accession=A1", 1),
        ("accession=A1 study=1.2", "study=1.2", 1),
        ("accession=A1 procedure=R1", "accession=A1 procedure=R2", 2),
    ],
)
def test_orders_are_told_apart_by_their_numbers(
    transaction: MemoryTransaction, first: str, second: str, orders: int
) -> None:
    for number, numbers in enumerate((first, second)):
        transaction.orders.put(
            keys(numbers), message_id=message(transaction, number), place=0, is_cancelled=False
        )
    found = transaction.orders.find(study_instance_uid="1.2", accession_digest="A1")
    assert [each.word.content_digest for each in found][-1] == "1"
    assert len(found) == orders


def test_a_changed_accession_number_replaces_the_old_one(transaction: MemoryTransaction) -> None:
    for number, accession in enumerate(("A1", "A2")):
        transaction.orders.put(
            keys(f"placer=P1 accession={accession}"),
            message_id=message(transaction, number),
            place=0,
            is_cancelled=False,
        )
    assert transaction.orders.find(study_instance_uid="", accession_digest="A1") == ()
    assert len(transaction.orders.find(study_instance_uid="", accession_digest="A2")) == 1


def test_an_order_is_cancelled_and_stands_again_by_a_number_alone(
    transaction: MemoryTransaction,
) -> None:
    book = transaction.orders
    assert book.set_cancelled(keys("placer=P1"), is_cancelled=True) == []
    book.put(
        keys("placer=P1 accession=A1"),
        message_id=message(transaction, 1),
        place=2,
        is_cancelled=False,
    )
    for is_cancelled in (True, False):
        assert book.set_cancelled(keys("placer=P1"), is_cancelled=is_cancelled)
        (found,) = book.find(study_instance_uid="", accession_digest="A1")
        assert (found.is_cancelled, found.word.place) == (is_cancelled, 2)


def test_one_number_is_enough_to_cancel_and_not_to_lift_that(
    transaction: MemoryTransaction,
) -> None:
    book = transaction.orders
    book.put(
        keys("placer=P1 filler=F1 accession=A1"),
        message_id=message(transaction, 1),
        place=0,
        is_cancelled=False,
    )
    for numbers, is_cancelled in (
        ("placer=OTHER filler=F1", True),
        ("placer=OTHER filler=F1", False),
    ):
        book.set_cancelled(keys(numbers), is_cancelled=is_cancelled)
        (found,) = book.find(study_instance_uid="", accession_digest="A1")
        assert found.is_cancelled
