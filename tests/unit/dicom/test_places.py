from __future__ import annotations

from itertools import count
from typing import cast

import pytest

from node.dicom.pdu_stream import PduStream
from node.dicom.places import GAVE_WAY, WITHOUT_ASSOCIATION, Places


class Stream:
    """A connection that only notes that it has to end."""

    _clock = count(1)

    def __init__(self, address: str) -> None:
        self.address = address
        self.waiting_since_s: float | None = next(self._clock)
        self.ended = ""

    def end(self, reason: str) -> None:
        self.ended = reason


def opened(places: Places, address: str, number: int = 1) -> list[Stream]:
    streams = [Stream(address) for _ in range(number)]
    for each in streams:
        places.enter(cast(PduStream, each))
    return streams


def associated(places: Places, address: str) -> Stream:
    (stream,) = opened(places, address)
    assert places.associate(cast(PduStream, stream))
    return stream


def is_admitted(places: Places, address: str) -> bool:
    (stream,) = opened(places, address)
    return places.associate(cast(PduStream, stream))


def test_of_one_address_the_oldest_connection_gives_way() -> None:
    places = Places(5)
    other = opened(places, "192.0.2.1")
    streams = opened(places, "192.0.2.66", 100)
    assert [each.ended for each in streams] == [GAVE_WAY] * 36 + [""] * 64
    assert other[0].ended == ""


def test_of_many_addresses_that_with_most_connections_gives_way() -> None:
    places = Places(5)
    friend = opened(places, "192.0.2.1")
    crowd = [
        each for host in range(10, 30) for each in opened(places, f"192.0.2.{host}", 16)
    ]  # fmt: skip
    assert friend[0].ended == ""
    assert len([each for each in crowd if not each.ended]) == WITHOUT_ASSOCIATION - 1


def test_there_are_no_more_associations_than_places() -> None:
    places = Places(3)
    held = [associated(places, "192.0.2.1") for _ in range(3)]
    assert not is_admitted(places, "192.0.2.1")
    places.leave(cast(PduStream, held[0]))
    assert is_admitted(places, "192.0.2.1")
    assert [each.ended for each in held] == [""] * 3


def test_the_association_that_waits_longest_gives_way_to_an_address_with_fewer() -> None:
    places = Places(4)
    held = [associated(places, "192.0.2.66") for _ in range(4)]
    held[0].waiting_since_s = None
    assert is_admitted(places, "192.0.2.1")
    assert [each.ended for each in held] == ["", GAVE_WAY, "", ""]
    assert is_admitted(places, "192.0.2.1")
    assert [each.ended for each in held] == ["", GAVE_WAY, GAVE_WAY, ""]
    assert not is_admitted(places, "192.0.2.1")


def test_no_association_gives_way_while_it_is_at_work() -> None:
    places = Places(3)
    for each in [associated(places, "192.0.2.66") for _ in range(3)]:
        each.waiting_since_s = None
    assert not is_admitted(places, "192.0.2.1")


@pytest.mark.parametrize("addresses", [("a", "b", "c"), ("a", "a", "b")])
def test_addresses_that_have_as_many_do_not_push_each_other_out(addresses: tuple[str, ...]) -> None:
    places = Places(3)
    for address in addresses:
        associated(places, address)
    assert not is_admitted(places, "b")


def test_whoever_has_released_is_the_first_to_give_way() -> None:
    places = Places(5)
    first = opened(places, "192.0.2.1")[0]
    released = associated(places, "192.0.2.1")
    places.dissociate(cast(PduStream, released))
    opened(places, "192.0.2.1", 63)
    assert released.ended == GAVE_WAY
    assert first.ended == ""
