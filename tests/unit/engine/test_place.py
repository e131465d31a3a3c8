"""Whose turn it is in a lane: by priority, then as it came."""

from __future__ import annotations

from node.domain.delivery import Priority
from node.engine.unit_of_work import place

MAXIMUM = 2**31 - 1


def test_a_higher_priority_goes_first_and_within_one_the_first_goes_first() -> None:
    came = [(Priority.LOW, 1), (Priority.ROUTINE, 2), (Priority.STAT, 4), (Priority.ROUTINE, 3)]
    assert sorted(came, key=lambda each: place(*each)) == [
        (Priority.STAT, 4),
        (Priority.ROUTINE, 2),
        (Priority.ROUTINE, 3),
        (Priority.LOW, 1),
    ]


def test_every_place_is_an_integer_of_the_database() -> None:
    for priority in Priority:
        for row_id in (1, 2**29 - 1):
            assert 1 <= place(priority, row_id) <= MAXIMUM
