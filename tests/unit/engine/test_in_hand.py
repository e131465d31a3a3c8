"""Which workflows this process executes, and which it only seems to."""

from __future__ import annotations

import pytest

from node.engine.in_hand import InHand


def test_what_nobody_executes_is_lost_when_it_is_seen_twice() -> None:
    in_hand = InHand()
    with in_hand.executing("done by us"):
        begun = {"done by us", "not there"}
        assert in_hand.lost(begun) == set()
        assert in_hand.lost(begun) == {"not there"}
        assert in_hand.lost(begun) == set()  # it was told of; again, in time


def test_what_begins_or_ends_between_two_looks_is_not_lost() -> None:
    in_hand = InHand()
    assert in_hand.lost({"begins"}) == set()
    with in_hand.executing("begins"):
        assert in_hand.lost({"begins"}) == set()
    assert in_hand.lost({"begins"}) == set()
    assert in_hand.lost(set()) == set()
    assert in_hand.lost({"begins"}) == set()


def test_an_error_of_the_engine_is_remembered() -> None:
    in_hand = InHand()
    with in_hand.executing("well"):
        pass
    assert not in_hand.has_failed.is_set()
    with pytest.raises(ConnectionError), in_hand.executing("ill"):
        raise ConnectionError
    assert in_hand.has_failed.is_set()
