"""MLLP framing: whatever the network does to the stream, the messages come out whole or not."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.errors import MalformedMessage
from node.hl7.mllp import OUTSIDE_LIMIT_BYTES, Deframer, frame

MESSAGES = st.lists(
    st.binary(max_size=60).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b"")),
    max_size=6,
)
NOISE = st.sampled_from([b"", b"\r", b"\r\n", b"\x1c\r", b"\x00\x00"])


@given(messages=MESSAGES, noise=NOISE, cuts=st.lists(st.integers(0, 500), max_size=12))
def test_messages_survive_any_split_and_merge(
    messages: list[bytes], noise: bytes, cuts: list[int]
) -> None:
    stream = b"".join(noise + frame(message) for message in messages)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    deframer = Deframer(limit_bytes=60)
    received = [
        message
        for start, end in itertools.pairwise(edges)
        for message in deframer.feed(stream[start:end])
    ]
    assert received == messages
    assert not deframer.inside


@given(messages=MESSAGES)
def test_messages_survive_coming_byte_by_byte(messages: list[bytes]) -> None:
    deframer = Deframer(limit_bytes=60)
    stream = b"".join(map(frame, messages))
    assert _in_portions(deframer, stream, 1) == messages


def test_a_block_is_vt_message_fs_cr() -> None:
    assert frame(b"MSH|") == b"\x0bMSH|\x1c\x0d"


@pytest.mark.parametrize("message", [b"a\x0bb", b"a\x1cb"])
def test_a_message_that_holds_a_block_character_is_not_framed(message: bytes) -> None:
    with pytest.raises(MalformedMessage):
        frame(message)


def test_it_tells_when_a_block_has_begun_and_not_ended() -> None:
    deframer = Deframer(limit_bytes=10)
    assert not deframer.inside
    assert deframer.feed(b"\x0bab\x1c") == []
    assert deframer.inside
    assert deframer.feed(b"\r") == [b"ab"]
    assert not deframer.inside


def test_a_block_that_begins_inside_another_is_refused() -> None:
    deframer = Deframer(limit_bytes=100)
    deframer.feed(b"\x0bMSH|first cut sh")
    with pytest.raises(MalformedMessage, match="inside another"):
        deframer.feed(frame(b"MSH|second"))


def test_a_file_separator_that_ends_no_block_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="file separator"):
        Deframer(limit_bytes=100).feed(b"\x0bab\x1ccd")


def test_a_message_of_just_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert Deframer(limit_bytes=4).feed(frame(b"abcd")) == [b"abcd"]
    with pytest.raises(MalformedMessage, match="limit of 4 bytes"):
        Deframer(limit_bytes=4).feed(frame(b"abcde"))


def test_a_block_without_end_is_refused_as_soon_as_it_is_over_the_limit() -> None:
    deframer = Deframer(limit_bytes=1_000_000)
    deframer.feed(b"\x0b")
    fed = 0
    with pytest.raises(MalformedMessage, match="limit"):
        for _ in range(80):  # 5 MB in portions of 64 KiB
            fed += 65536
            deframer.feed(b"x" * 65536)
    assert fed < 1_000_000 + 2 * 65536


def test_a_long_message_in_small_portions_takes_linear_time() -> None:
    deframer = Deframer(limit_bytes=2_000_000)
    stream = frame(b"x" * 1_000_000)
    began = time.process_time()
    received = _in_portions(deframer, stream, 64)
    assert [len(message) for message in received] == [1_000_000]
    assert time.process_time() - began < 2.0  # searching from the start each time takes minutes


def test_what_never_begins_a_block_is_refused_after_a_bound() -> None:
    deframer = Deframer(limit_bytes=10)
    assert deframer.feed(b"GET / HTTP/1.1\r\n") == []
    with pytest.raises(MalformedMessage, match="speaks MLLP"):
        deframer.feed(b"x" * OUTSIDE_LIMIT_BYTES)


def _in_portions(deframer: Deframer, stream: bytes, size: int) -> list[bytes]:
    view = memoryview(stream)
    return [
        message
        for at in range(0, len(stream), size)
        for message in deframer.feed(bytes(view[at : at + size]))
    ]
