"""Attacks on a live listener while a friendly peer stores ECGs: the friend must not notice."""

from __future__ import annotations

import gc
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.dicom.places import WITHOUT_ASSOCIATION
from tests.wire.dicom import raw_scu as raw
from tests.wire.dicom.listening import Listening, dataset, soon, threads
from tests.wire.dicom.raw_scu import RawScu, associate_request

ATTACKER = "127.0.0.66"
SECONDS = 1.2
FLOOR_S = 0.25
"""A busy machine makes waves of this size without any attack."""
GROWTH_BYTES = 64 << 20

Attack = Callable[[int, float], None]
"""Gets the port and, on the monotonic clock, when to end."""
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__] = function
    return function


@pytest.fixture(scope="module")
def listening() -> Iterator[Listening]:
    with Listening(
        maximum_associations=60,
        maximum_instance_bytes=10_000_000,
        acse_timeout_s=1.0,
        dimse_timeout_s=1.0,
        network_timeout_s=10.0,
    ) as listener:
        listener.before_accepting = listener.accepted.clear  # hundreds of ECGs are not kept
        yield listener


class Friend:
    """Stores an ECG after the other, each tenth in an association of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ended = threading.Event()
        self._request = raw.store_request(dataset())
        self.seconds: list[float] = []
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._store)

    def __enter__(self) -> Friend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def p95_s(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.95)]

    def _store(self) -> None:
        try:
            while not self._ended.is_set():
                with RawScu(self._port) as scu:
                    scu.associate()
                    for _ in range(10):
                        begun_s = time.perf_counter()
                        scu.send(self._request)
                        assert scu.response().status == 0
                        self.seconds.append(time.perf_counter() - begun_s)
                        time.sleep(0.005)
                    scu.release()
        except BaseException as failure:
            self.failure = failure


@pytest.fixture(scope="module")
def quiet_p95_s(listening: Listening) -> float:
    with Friend(listening.scp.port) as friend:
        time.sleep(SECONDS)
    assert friend.failure is None
    return friend.p95_s


def rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


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


@attack
def a_request_for_an_association_that_trickles(port: int, ends_at_s: float) -> None:
    connections = [RawScu(port, address=ATTACKER) for _ in range(10)]
    request = iter(associate_request())
    for _ in until(ends_at_s):
        byte = bytes((next(request),))
        for each in connections:
            try:
                each.send(byte)
            except OSError:
                return hold(connections, 0)
        time.sleep(0.02)
    return hold(connections, 0)


@attack
def a_pdu_that_trickles(port: int, ends_at_s: float) -> None:
    connections = [RawScu(port, address=ATTACKER) for _ in range(10)]
    for each in connections:
        each.associate()
        each.send(struct.pack(">BxI", 0x04, 100_000))
    for _ in until(ends_at_s):
        for each in connections:
            try:
                each.send(b"\0")
            except OSError:
                return hold(connections, 0)
        time.sleep(0.02)
    return hold(connections, 0)


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
    with RawScu(port, address=ATTACKER) as scu:
        scu.associate()
        asked = raw.command(
            1, with_dataset=True, sop_class=raw.TWELVE_LEAD_ECG, sop_instance=b"1.2"
        )
        scu.send(raw.data(raw.value(1, asked, is_command=True)))
        portion = raw.data(raw.value(1, bytes(120_000), is_command=False, is_last=False))
        for _ in range(200_000_000 // 120_000):
            scu.send(portion)
        scu.send(raw.data(raw.value(1, b"", is_command=False)))
        assert scu.response().status == 0xA700
    assert ends_at_s


@attack
def one_byte_a_fragment(port: int, ends_at_s: float) -> None:
    fragment = raw.value(1, b"\0", is_command=False, is_last=False)
    asked = raw.command(1, with_dataset=True, sop_class=raw.TWELVE_LEAD_ECG, sop_instance=b"1.2")
    with RawScu(port, address=ATTACKER) as scu:
        scu.associate()
        scu.send(raw.data(raw.value(1, asked, is_command=True)))
        portion = raw.data(*[fragment] * 10_000)
        for _ in until(ends_at_s):
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


@pytest.mark.parametrize("name", ATTACKS)
def test_a_friend_notices_nothing_of(name: str, listening: Listening, quiet_p95_s: float) -> None:
    assert soon(lambda: len(threads()) == 1), threads()
    gc.collect()
    before_bytes = most_bytes = rss_bytes()
    most = 0
    with Friend(listening.scp.port) as friend:
        failures: list[BaseException] = []
        ends_at_s = time.monotonic() + SECONDS

        def run() -> None:
            try:
                ATTACKS[name](listening.scp.port, ends_at_s)
            except BaseException as failure:
                failures.append(failure)

        attacker = threading.Thread(target=run)
        attacker.start()
        while attacker.is_alive():
            most = max(most, len(threads()))
            most_bytes = max(most_bytes, rss_bytes())
            time.sleep(0.01)
        attacker.join()
    if friend.failure is not None:
        raise friend.failure
    for failure in failures:
        raise failure
    assert len(friend.seconds) >= 10
    assert friend.p95_s < max(3 * quiet_p95_s, FLOOR_S)
    assert most_bytes - before_bytes < GROWTH_BYTES
    assert most <= 1 + WITHOUT_ASSOCIATION + 60
    assert soon(lambda: len(threads()) == 1), threads()
    with listening.associated() as scu:
        assert scu.echo().status == 0
        scu.release()
    assert listening.said("association failed") == []


def test_every_line_is_printable_and_whoever_knocks_without_end_has_few(
    listening: Listening,
) -> None:
    """Looks at what the attacks before left in the log."""
    for _ in range(50):
        with listening.scu(address="127.0.0.77") as scu:
            assert said(scu, raw.RELEASE) == 0x07
    refusals = listening.said("connection refused")
    assert 1 <= len([each for each in refusals if each["peer"] == "127.0.0.77"]) <= 3
    for message, fields in listening.reports:
        for value in (message, *fields.values()):
            assert str(value).isprintable(), (message, fields)
            assert len(str(value)) < 200


def test_forty_idle_associations_cost_no_cpu() -> None:
    with Listening(maximum_associations=50) as listening:
        connections = [listening.associated() for _ in range(40)]
        gc.collect()
        begun_s, cpu_s = time.monotonic(), time.process_time()
        time.sleep(3)
        share = (time.process_time() - cpu_s) / (time.monotonic() - begun_s)
        for each in connections:
            each.socket.close()
    assert share < 0.05


def mutated(chance: random.Random, content: bytes) -> bytes:
    stream = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        at = chance.randrange(len(stream))
        length = chance.choice((1, 1, 2, 4, 40))
        match chance.randrange(6):
            case 0:
                stream[at] ^= 1 << chance.randrange(8)
            case 1:
                stream[at : at + length] = chance.randbytes(length)
            case 2:
                del stream[at : at + length]
            case 3:
                stream[at:at] = chance.randbytes(length)
            case 4:
                stream[at:at] = stream[at : at + 10 * length]
            case _:
                extreme = chance.choice((b"\0", b"\xff", b"\x7f", b"\x80"))
                stream[at : at + length] = extreme * length
        stream = stream or bytearray(b"\0")
    if not chance.randrange(10):
        del stream[chance.randrange(len(stream)) :]
    return bytes(stream)


def test_two_thousand_mutated_conversations_end_and_do_no_harm() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    conversation = (
        associate_request() + raw.echo_request() + raw.store_request(bytes(300), largest=128)
        + raw.RELEASE
    )  # fmt: skip
    others = len(threads())
    with Listening() as listening:
        for number in range(2000):
            with listening.scu() as scu:
                try:
                    scu.send(mutated(chance, conversation))
                    scu.socket.shutdown(socket.SHUT_WR)
                    while scu.receive()[0]:
                        pass
                except OSError as error:
                    assert not isinstance(error, TimeoutError), f"seed {seed}, number {number}"
        assert listening.said("association failed") == [], f"seed {seed}"
        assert soon(lambda: len(threads()) == others + 1), f"seed {seed}"
        with listening.associated() as scu:
            assert scu.store(dataset()).status == 0
