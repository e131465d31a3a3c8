"""Hl7Sender against hand-made receivers on loopback, one behaviour each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from node.domain.errors import Kind, Refused, TemporarilyRefused, Unanswered, Unreachable
from node.hl7.message import AcknowledgementCode
from node.hl7.sender import Hl7Sender

CONTROL_ID = "CN0001"
MESSAGE = (
    f"MSH|^~\\&|CARDIONODE||RIS||20240229235958||ORU^R01^ORU_R01|{CONTROL_ID}|P|2.5.1\rPID|1||P-1\r"
).encode()
BLOCK = b"\x0b" + MESSAGE + b"\x1c\r"


def ack(code: str = "AA", control_id: str = CONTROL_ID, more: str = "") -> bytes:
    text = (
        "MSH|^~\\&|RIS||CARDIONODE||20240301000000||ACK^R01^ACK|R1|P|2.5.1\r"
        f"MSA|{code}|{control_id}\r{more}"
    )
    return b"\x0b" + text.encode() + b"\x1c\r"


Behaviour = Callable[[socket.socket], None]


class Receiver:
    """Takes one connection after the other, each behaving as the next of `behaviours`."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.blocks: list[bytes] = []
        self.connections = 0
        self._behaviours = behaviours
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for behaviour in self._behaviours:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                connection.settimeout(5)
                behaviour(connection)

    def take(self, connection: socket.socket) -> None:
        """Read one block; an ended connection adds nothing."""
        block = b""
        while not block.endswith(b"\x1c\r"):
            portion = connection.recv(65536)
            if not portion:
                return
            block += portion
        self.blocks.append(block)

    def answering(self, *answers: bytes, stay: bool = True) -> Behaviour:
        """Answer a block with each of these, then stay until the peer leaves, or leave."""

        def behave(connection: socket.socket) -> None:
            for answer in answers:
                self.take(connection)
                connection.sendall(answer)
            while stay and connection.recv(65536):
                pass

        return behave

    @contextmanager
    def running(self) -> Iterator[Hl7Sender]:
        self._thread.start()
        sender = Hl7Sender("127.0.0.1", self.port, connect_timeout_s=2, answer_timeout_s=0.3)
        try:
            yield sender
        finally:
            sender.close()
            self._socket.close()
            self._thread.join(6)
            assert not self._thread.is_alive()


def receiver(*answers: bytes, stay: bool = True) -> Receiver:
    made = Receiver()
    made._behaviours = (made.answering(*answers, stay=stay),)
    return made


def test_a_positive_answer_ends_the_delivery_and_the_bytes_arrive_unchanged() -> None:
    peer = receiver(ack())
    with peer.running() as sender:
        answer = sender.send(MESSAGE)
    assert (answer.code, answer.control_id) == (AcknowledgementCode.AA, CONTROL_ID)
    assert peer.blocks == [BLOCK]


def test_a_commit_accept_ends_the_delivery_in_enhanced_mode() -> None:
    with receiver(ack("CA")).running() as sender:
        assert sender.send(MESSAGE).code is AcknowledgementCode.CA


def test_messages_share_one_connection() -> None:
    peer = receiver(ack(), ack(), ack())
    with peer.running() as sender:
        for _ in range(3):
            sender.send(MESSAGE)
    assert (peer.connections, len(peer.blocks)) == (1, 3)


def test_an_answer_in_many_small_pieces_is_read() -> None:
    peer = Receiver()

    def in_pieces(connection: socket.socket) -> None:
        peer.take(connection)
        for k in range(len(ack())):
            connection.sendall(ack()[k : k + 1])
        connection.recv(1)

    peer._behaviours = (in_pieces,)
    with peer.running() as sender:
        assert sender.send(MESSAGE).code is AcknowledgementCode.AA


def test_an_answer_to_another_control_id_is_passed_over() -> None:
    with receiver(ack("AR", "OTHER") + ack()).running() as sender:
        assert sender.send(MESSAGE).code is AcknowledgementCode.AA


def test_only_an_answer_to_another_control_id_is_no_answer() -> None:
    with receiver(ack("AA", "OTHER")).running() as sender, pytest.raises(Unanswered):
        sender.send(MESSAGE)


def test_a_flood_of_alien_answers_does_not_hold_the_sender_beyond_its_time() -> None:
    def flood(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(ack("AA", "OTHER"))
                time.sleep(0.02)
        except OSError:
            return

    peer = Receiver(flood)
    with peer.running() as sender:
        started = time.monotonic()
        with pytest.raises(Unanswered):
            sender.send(MESSAGE)
        assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("code", "error", "kind"),
    [
        ("AE", TemporarilyRefused, Kind.TRANSIENT),
        ("CE", TemporarilyRefused, Kind.TRANSIENT),
        ("AR", Refused, Kind.PERMANENT),
        ("CR", Refused, Kind.PERMANENT),
    ],
)
def test_a_negative_answer_is_told_by_code_and_never_by_its_text(
    code: str, error: type[Refused] | type[TemporarilyRefused], kind: Kind
) -> None:
    spoken = ack(
        code, f"{CONTROL_ID}|Doe unknown", "ERR||PID^1^5|204^Unknown key^HL70357|E||||Doe\r"
    )
    with receiver(spoken).running() as sender, pytest.raises(error) as caught:
        sender.send(MESSAGE)
    assert caught.value.kind is kind
    assert code in caught.value.message and "204" in caught.value.message
    assert "Doe" not in caught.value.message


def test_silence_is_unanswered_and_its_late_answer_never_settles_the_next_message() -> None:
    peer = Receiver()
    late = threading.Event()

    def silent_then_late(connection: socket.socket) -> None:
        peer.take(connection)
        late.wait(5)
        try:
            connection.sendall(ack())
        except OSError:
            return

    peer._behaviours = (silent_then_late, peer.answering(ack()))
    with peer.running() as sender:
        with pytest.raises(Unanswered) as caught:
            sender.send(MESSAGE)
        assert caught.value.kind is Kind.AMBIGUOUS
        late.set()
        assert sender.send(MESSAGE).code is AcknowledgementCode.AA
    assert peer.connections == 2
    assert peer.blocks == [BLOCK, BLOCK]


def test_a_connection_closed_after_the_message_is_unanswered() -> None:
    with receiver(b"", stay=False).running() as sender, pytest.raises(Unanswered):
        sender.send(MESSAGE)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n" * 60,
        b"\x0b\x0b\x1c\r",
        b"\x0b" + b"A" * 1_100_000 + b"\x1c\r",
    ],
    ids=["not-mllp", "block-in-block", "over-limit"],
)
def test_an_answer_that_is_not_mllp_is_unanswered(answer: bytes) -> None:
    peer = Receiver()

    def behave(connection: socket.socket) -> None:
        peer.take(connection)
        try:
            connection.sendall(answer)
            connection.recv(1)
        except OSError:
            return

    peer._behaviours = (behave,)
    with peer.running() as sender, pytest.raises(Unanswered):
        sender.send(MESSAGE)


def test_a_connection_the_receiver_closed_while_idle_is_opened_again_and_sends_once() -> None:
    peer = Receiver()
    peer._behaviours = (peer.answering(ack(), stay=False), peer.answering(ack()))
    with peer.running() as sender:
        sender.send(MESSAGE)
        time.sleep(0.1)  # the end of the first connection arrives
        sender.send(MESSAGE)
    assert (peer.connections, len(peer.blocks)) == (2, 2)


def test_nobody_listening_is_unreachable_for_sending_and_probing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sender = Hl7Sender("127.0.0.1", port)
    for attempt in (sender.probe, lambda: sender.send(MESSAGE)):
        with pytest.raises(Unreachable) as caught:
            attempt()
        assert str(port) in caught.value.message


def test_a_probe_sends_nothing() -> None:
    seen: list[bytes] = []
    peer = Receiver(lambda connection: seen.append(connection.recv(10)))
    with peer.running() as sender:
        sender.probe()
    assert seen == [b""]


def test_threads_take_turns_on_one_connection() -> None:
    peer = receiver(*[ack()] * 8)
    with peer.running() as sender:
        threads = [threading.Thread(target=sender.send, args=(MESSAGE,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
    assert (peer.connections, peer.blocks) == (1, [BLOCK] * 8)
