"""The sender against small hand-made receivers: what counts as delivered, and what does not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from node.domain.errors import (
    MalformedMessage,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unreachable,
)
from node.hl7.message import AcknowledgementCode
from node.hl7.mllp import frame
from node.hl7.sender import Hl7Sender
from tests.wire.hl7.receivers import Behaviour, ack, message, receiver, take


@contextmanager
def sender(port: int, *, answer_timeout_s: float = 5.0) -> Iterator[Hl7Sender]:
    carrier = Hl7Sender(
        "127.0.0.1",
        port,
        connect_timeout_s=2.0,
        answer_timeout_s=answer_timeout_s,
        limit_bytes=10_000,
    )
    try:
        yield carrier
    finally:
        carrier.close()


def answering(*portions: bytes, pause_s: float = 0.0) -> Behaviour:
    """Takes messages and answers each with the same portions."""

    def behave(connection: socket.socket, number: int) -> None:
        while take(connection):
            for portion in portions:
                connection.sendall(portion)
                time.sleep(pause_s)

    return behave


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_a_positive_answer_delivers(code: str) -> None:
    with receiver(answering(ack(code))) as port, sender(port) as carrier:
        answer = carrier.send(message())
    assert answer.code is AcknowledgementCode(code)
    assert answer.control_id == "C1"


def test_messages_share_one_connection() -> None:
    seen: list[tuple[int, bytes]] = []

    def behave(connection: socket.socket, number: int) -> None:
        while content := take(connection):
            seen.append((number, content))
            connection.sendall(ack("AA", content.split(b"|")[9].decode()))

    with receiver(behave) as port, sender(port) as carrier:
        carrier.send(message("C1"))
        carrier.send(message("C2"))
    assert seen == [(0, message("C1")), (0, message("C2"))]


def test_an_answer_in_pieces_is_put_together() -> None:
    whole = ack("AA")
    pieces = [whole[:5], whole[5:40], whole[40:-1], whole[-1:]]
    with receiver(answering(*pieces, pause_s=0.02)) as port, sender(port) as carrier:
        assert carrier.send(message()).code is AcknowledgementCode.AA


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AE", TemporarilyRefused),
        ("CE", TemporarilyRefused),
        ("AR", Refused),
        ("CR", Refused),
    ],
)
def test_a_negative_answer_names_the_code_and_never_the_text(
    code: str, error: type[Exception]
) -> None:
    rest = "|JANE DOE is not known\rERR||PID^1^5|204^JANE DOE^HL70357|E|||JANE DOE"
    with (
        receiver(answering(ack(code, rest=rest))) as port,
        sender(port) as carrier,
        pytest.raises(error) as caught,
    ):
        carrier.send(message())
    assert code in str(caught.value)
    assert "204" in str(caught.value)
    assert "JANE" not in str(caught.value)


def test_a_negative_answer_leaves_the_connection_open() -> None:
    numbers: list[int] = []

    def behave(connection: socket.socket, number: int) -> None:
        code = "AE"
        while take(connection):
            numbers.append(number)
            connection.sendall(ack(code))
            code = "AA"

    with receiver(behave) as port, sender(port) as carrier:
        with pytest.raises(TemporarilyRefused):
            carrier.send(message())
        carrier.send(message())
    assert numbers == [0, 0]


def test_answers_to_other_messages_are_discarded() -> None:
    portions = (ack("AR", "OTHER"), ack("AA", ""), frame(b"no message"), ack("AA", "C1"))
    with receiver(answering(*portions)) as port, sender(port) as carrier:
        assert carrier.send(message()).code is AcknowledgementCode.AA


def test_only_answers_to_other_messages_are_no_answer() -> None:
    with (
        receiver(answering(ack("AA", "OTHER"))) as port,
        sender(port, answer_timeout_s=0.3) as carrier,
        pytest.raises(Unanswered, match="within"),
    ):
        carrier.send(message())


def test_a_chatty_receiver_cannot_hold_the_sender_beyond_its_timeout() -> None:
    def behave(connection: socket.socket, number: int) -> None:
        take(connection)
        while True:
            connection.sendall(ack("AA", "OTHER"))
            time.sleep(0.05)

    with receiver(behave) as port, sender(port, answer_timeout_s=0.4) as carrier:
        began = time.monotonic()
        with pytest.raises(Unanswered):
            carrier.send(message())
        assert time.monotonic() - began < 2.0


def test_a_receiver_that_takes_a_byte_at_a_time_holds_the_sender_no_longer_than_its_timeout() -> (
    None
):
    """The message is larger than what the system keeps of it for either side."""
    given_up = Event()

    def behave(connection: socket.socket, number: int) -> None:
        while connection.recv(1) and not given_up.wait(0.05):
            pass

    content = message() + b"OBX|" + b"x" * 20_000_000 + b"\r"
    with receiver(behave) as port, sender(port, answer_timeout_s=0.4) as carrier:
        began = time.monotonic()
        with pytest.raises(Unanswered, match="within"):
            carrier.send(content)
        assert time.monotonic() - began < 3.0
        given_up.set()


def test_a_late_answer_never_settles_the_next_message() -> None:
    numbers: list[int] = []

    def behave(connection: socket.socket, number: int) -> None:
        numbers.append(number)
        content = take(connection)
        if number == 0:
            time.sleep(0.5)
        connection.sendall(ack("AA", content.split(b"|")[9].decode()))
        take(connection)

    with receiver(behave) as port, sender(port, answer_timeout_s=0.2) as carrier:
        with pytest.raises(Unanswered):
            carrier.send(message("C1"))
        carrier._answer_timeout_s = 5.0
        assert carrier.send(message("C2")).control_id == "C2"
    assert numbers == [0, 1]


def test_a_receiver_that_closes_after_the_message_has_not_answered() -> None:
    def behave(connection: socket.socket, number: int) -> None:
        take(connection)

    with (
        receiver(behave) as port,
        sender(port) as carrier,
        pytest.raises(Unanswered, match="closed the connection"),
    ):
        carrier.send(message())


def test_a_connection_closed_while_idle_is_opened_again_before_the_message() -> None:
    received: list[tuple[int, bytes]] = []

    def behave(connection: socket.socket, number: int) -> None:
        content = take(connection)
        received.append((number, content))
        connection.sendall(ack("AA", content.split(b"|")[9].decode()))

    with receiver(behave) as port, sender(port) as carrier:
        carrier.send(message("C1"))
        time.sleep(0.1)
        carrier.send(message("C2"))
    assert received == [(0, message("C1")), (1, message("C2"))]


def test_answers_that_come_while_nobody_waits_are_dropped() -> None:
    def behave(connection: socket.socket, number: int) -> None:
        take(connection)
        connection.sendall(ack("CA", "C1") + ack("AA", "C2"))
        content = take(connection)
        connection.sendall(ack("AE", content.split(b"|")[9].decode()))
        take(connection)

    with receiver(behave) as port, sender(port) as carrier:
        carrier.send(message("C1"))
        time.sleep(0.1)
        with pytest.raises(TemporarilyRefused):
            carrier.send(message("C2"))


def control_id(content: bytes) -> str:
    return content.split(b"|")[9].decode()


LONG = ack("AA", "C1", rest="|" + "y" * 3000)
"""More than may stand between two blocks."""


def test_a_doubled_answer_that_comes_in_parts_is_dropped_whole() -> None:
    numbers: list[int] = []
    said_all = Event()

    def behave(connection: socket.socket, number: int) -> None:
        take(connection)
        connection.sendall(ack("AA", "C1") + LONG[:100])
        connection.sendall(LONG[100:])
        said_all.set()
        while content := take(connection):
            numbers.append(number)
            connection.sendall(ack("AA", control_id(content)))

    with receiver(behave) as port, sender(port) as carrier:
        carrier.send(message("C1"))
        assert said_all.wait(5)
        assert carrier.send(message("C2")).control_id == "C2"
    assert numbers == [0]


def test_after_an_answer_left_half_said_the_next_message_has_a_new_connection() -> None:
    received: list[tuple[int, str]] = []

    def behave(connection: socket.socket, number: int) -> None:
        while content := take(connection):
            received.append((number, control_id(content)))
            half = LONG[:100] if number == 0 else b""
            connection.sendall(ack("AA", control_id(content)) + half)

    with receiver(behave) as port, sender(port) as carrier:
        assert carrier.send(message("C1")).control_id == "C1"
        assert carrier.send(message("C2")).control_id == "C2"
    assert received == [(0, "C1"), (1, "C2")]


def test_a_receiver_that_does_not_end_talking_is_not_listened_to_for_ever() -> None:
    received: list[tuple[int, str]] = []
    talking = Event()

    def behave(connection: socket.socket, number: int) -> None:
        content = take(connection)
        received.append((number, control_id(content)))
        connection.sendall(ack("AA", control_id(content)))
        while number == 0:
            connection.sendall(ack("AA", "OTHER") * 1000)
            talking.set()

    with receiver(behave) as port, sender(port) as carrier:
        carrier.send(message("C1"))
        assert talking.wait(5)
        began = time.monotonic()
        assert carrier.send(message("C2")).control_id == "C2"
        assert time.monotonic() - began < 5.0
    assert received == [(0, "C1"), (1, "C2")]


@pytest.mark.parametrize("answer", [b"x" * 2000, b"\x0b" + b"x" * 20_000, b"\x0bMSH\x0bMSH"])
def test_an_answer_that_is_not_mllp_is_no_answer(answer: bytes) -> None:
    with (
        receiver(answering(answer)) as port,
        sender(port) as carrier,
        pytest.raises(Unanswered, match="not MLLP"),
    ):
        carrier.send(message())


def test_a_receiver_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with sender(port) as carrier:
        with pytest.raises(Unreachable, match=f"127.0.0.1:{port}"):
            carrier.send(message())
        with pytest.raises(Unreachable):
            carrier.probe()


def test_a_host_name_that_does_not_resolve_is_unreachable() -> None:
    carrier = Hl7Sender("does-not-exist.invalid", 2575, connect_timeout_s=2.0)
    with pytest.raises(Unreachable):
        carrier.probe()


def test_a_probe_sends_nothing() -> None:
    sent: list[bytes] = []

    def behave(connection: socket.socket, number: int) -> None:
        sent.append(connection.recv(10))

    with receiver(behave) as port, sender(port) as carrier:
        carrier.probe()
        time.sleep(0.1)
    assert sent == [b""]


def test_what_is_no_message_is_not_sent() -> None:
    with sender(1) as carrier, pytest.raises(MalformedMessage):
        carrier.send(b"PID|1")


def test_threads_take_turns_on_one_connection() -> None:
    numbers: list[int] = []

    def behave(connection: socket.socket, number: int) -> None:
        while content := take(connection):
            numbers.append(number)
            time.sleep(0.02)
            connection.sendall(ack("AA", content.split(b"|")[9].decode()))

    with receiver(behave) as port, sender(port) as carrier:
        answers: list[str] = []
        threads = [
            Thread(
                target=lambda name=f"T{at}": answers.append(carrier.send(message(name)).control_id)
            )
            for at in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=10)
    assert sorted(answers) == ["T0", "T1", "T2", "T3", "T4"]
    assert numbers == [0] * 5
