"""Attacks on a live listener, each a program of its own: python -m tests.wire.dicom.attacks.

So that the friend's times are the node's and not those of a process that floods beside it. A new
attack is one more function with @attack; it ends by itself soon after it is told to.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import repeat

from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.raw_scu import RawScu, associate_request

ATTACKER = "127.0.0.66"

Attack = Callable[[int, float], None]
"""Gets the port and, on the monotonic clock, when to end."""
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


def until(ends_at_s: float) -> Iterator[None]:
    while time.monotonic() < ends_at_s:
        yield


def hold(connections: list[RawScu], ends_at_s: float) -> None:
    time.sleep(max(0.0, ends_at_s - time.monotonic()))
    for each in connections:
        each.socket.close()


def said(scu: RawScu, content: bytes) -> int:
    """Send what the peer may not want to hear; the type of its answer."""
    try:
        scu.send(content)
        return scu.receive()[0]
    except OSError:
        return 0


@attack
def forty_idle_associations(port: int, ends_at_s: float) -> None:
    connections = [RawScu(port, address=ATTACKER) for _ in range(40)]
    for each in connections:
        each.associate()
    hold(connections, ends_at_s)


@attack
def more_idle_associations_than_places(port: int, ends_at_s: float) -> None:
    connections = []
    for _ in range(80):
        connections.append(RawScu(port, address=ATTACKER))
        assert said(connections[-1], associate_request()) in (0x02, 0x03)
    hold(connections, ends_at_s)


@attack
def two_hundred_idle_connections(port: int, ends_at_s: float) -> None:
    hold([RawScu(port, address=ATTACKER) for _ in range(200)], ends_at_s)


@attack
def two_hundred_idle_connections_from_the_friends_address(port: int, ends_at_s: float) -> None:
    hold([RawScu(port) for _ in range(200)], ends_at_s)


@attack
def a_flood_of_connections(port: int, ends_at_s: float) -> None:
    for _ in until(ends_at_s):
        RawScu(port, address=ATTACKER).socket.close()
        time.sleep(0.001)


@attack
def a_flood_of_associations(port: int, ends_at_s: float) -> None:
    for number, _ in enumerate(until(ends_at_s)):
        with RawScu(port, address=ATTACKER) as scu:
            scu.associate()
            if number % 2:
                scu.release()


def trickle(connections: list[RawScu], content: Iterator[bytes], ends_at_s: float) -> None:
    """A byte now and then on each, until the first is given up."""
    for _ in until(ends_at_s):
        byte = next(content)
        try:
            for each in connections:
                each.send(byte)
        except OSError:
            break
        time.sleep(0.02)
    hold(connections, 0)


@attack
def a_request_for_an_association_that_trickles(port: int, ends_at_s: float) -> None:
    for _ in until(ends_at_s):
        request = (bytes((byte,)) for byte in associate_request() + bytes(1000))
        trickle([RawScu(port, address=ATTACKER) for _ in range(10)], request, ends_at_s)


@attack
def a_pdu_that_trickles(port: int, ends_at_s: float) -> None:
    for _ in until(ends_at_s):
        connections = [RawScu(port, address=ATTACKER) for _ in range(10)]
        for each in connections:
            each.associate()
            each.send(struct.pack(">BxI", 0x04, 100_000))
        trickle(connections, repeat(b"\0"), ends_at_s)


@attack
def a_request_of_200_mb(port: int, ends_at_s: float) -> None:
    portion = bytes(1 << 16)
    for _ in until(ends_at_s):
        with RawScu(port, address=ATTACKER) as scu:
            try:
                scu.send(struct.pack(">BxI", 0x01, 200_000_000))
                for _ in range(200_000_000 // len(portion)):
                    scu.send(portion)
            except OSError:
                continue
            raise AssertionError("all of it was taken")


@attack
def an_instance_of_200_mb(port: int, ends_at_s: float) -> None:
    asked = raw.command(1, with_dataset=True, sop_class=raw.TWELVE_LEAD_ECG, sop_instance=b"1.2")
    portion = raw.data(raw.value(1, bytes(120_000), is_command=False, is_last=False))
    for _ in until(ends_at_s):
        with RawScu(port, address=ATTACKER) as scu:
            scu.associate()
            scu.send(raw.data(raw.value(1, asked, is_command=True)))
            for _ in range(200_000_000 // 120_000):
                scu.send(portion)
            scu.send(raw.data(raw.value(1, b"", is_command=False)))
            assert scu.response().status == 0xA700


@attack
def one_byte_a_fragment(port: int, ends_at_s: float) -> None:
    crumble(port, raw.data(*[CRUMB] * 10_000), ends_at_s)


@attack
def one_byte_a_pdu(port: int, ends_at_s: float) -> None:
    crumble(port, raw.data(CRUMB) * 10_000, ends_at_s)


CRUMB = raw.value(1, b"\0", is_command=False, is_last=False)


def crumble(port: int, portion: bytes, ends_at_s: float) -> None:
    """On four associations at a time: what is not read yet keeps each of them busy."""
    asked = raw.command(1, with_dataset=True, sop_class=raw.TWELVE_LEAD_ECG, sop_instance=b"1.2")
    for _ in until(ends_at_s):
        with ExitStack() as stack:
            attackers = [stack.enter_context(RawScu(port, address=ATTACKER)) for _ in range(4)]
            for scu in attackers:
                scu.associate()
                scu.send(raw.data(raw.value(1, asked, is_command=True)))
            for scu in attackers * 10:
                with suppress(OSError):  # it was aborted
                    scu.send(portion)


@attack
def garbage_ae_titles(port: int, ends_at_s: float) -> None:
    chance = random.Random(1)
    for _ in until(ends_at_s):
        for titles in (
            {"calling": chance.randbytes(16)},
            {"called": chance.randbytes(16)},
            {"calling": b"\x1b[31m\r\nGET /"},
            {"calling": b"%s%n{0}\x00\xff"},
        ):
            with RawScu(port, address=ATTACKER) as scu:
                assert said(scu, associate_request(**titles)) == 0x03  # type: ignore[arg-type]


@attack
def uids_that_are_none(port: int, ends_at_s: float) -> None:
    uids = (b"1" * 65, b"1." * 4000, b"../../../etc/passwd", b"1.2/3", b"\\\\host\\share", b"\x001")
    with RawScu(port, address=ATTACKER) as scu:
        scu.associate()
        for _ in until(ends_at_s):
            for uid in uids:
                assert scu.store(bytes(1000), sop_instance=uid).status == 0x0117


@attack
def a_pdv_cut_short(port: int, ends_at_s: float) -> None:
    for _ in until(ends_at_s):
        with RawScu(port, address=ATTACKER) as scu:
            scu.associate()
            assert said(scu, raw.pdu(0x04, struct.pack(">IBB", 5000, 1, 3) + bytes(90))) == 0x07


@attack
def an_abort_at_every_point(port: int, ends_at_s: float) -> None:
    whole = associate_request() + raw.store_request(bytes(200)) + raw.RELEASE
    for number, _ in enumerate(until(ends_at_s)):
        with RawScu(port, address=ATTACKER) as scu:
            scu.send(whole[: number * 7 % len(whole)] + raw.ABORT)


@attack
def random_bytes(port: int, ends_at_s: float) -> None:
    chance = random.Random(2)
    for number, _ in enumerate(until(ends_at_s)):
        with RawScu(port, address=ATTACKER) as scu:
            if number % 2:
                scu.associate()
            said(scu, chance.randbytes(chance.randrange(6, 5000)))


@attack
def idle_connections_of_two_hundred_addresses(port: int, ends_at_s: float) -> None:
    hold([RawScu(port, address=f"127.0.1.{number}") for number in range(1, 201)], ends_at_s)


@attack
def refusals_under_ever_new_names(port: int, ends_at_s: float) -> None:
    for number, _ in enumerate(until(ends_at_s)):
        with RawScu(port, address=f"127.0.{1 + number % 8}.{1 + number % 250}") as scu:
            assert said(scu, associate_request(called=b"%d" % number)) == 0x03


if __name__ == "__main__":
    ATTACKS[sys.argv[1]](int(sys.argv[2]), time.monotonic() + float(sys.argv[3]))
