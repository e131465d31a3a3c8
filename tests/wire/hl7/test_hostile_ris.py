"""Deliveries to a RIS that misbehaves: each acknowledged once, in order, resent under its MSH-10.

The postman and the sender are the node's; the RIS does one thing wrong to the second of three.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from node.domain.delivery import DeliveryState, DestinationKind, ResultKind
from node.hl7.sender import Hl7Sender
from node.hl7.stand_in import RisStandIn
from node.workflow.commit import Committing
from node.workflow.deliver import Postman
from node.workflow.retry import RetryPolicy
from tests.fakes import Clock, MemorySpool, MemoryUnitOfWork, Notes
from tests.unit.store.test_rows import INSTANCE
from tests.wire.hl7.receivers import ack, receiver, take

CONTROL_IDS = ("C1", "C2", "C3")
ANSWER_TIMEOUT_S = 0.3


def message(control_id: str, *, enhanced: bool = False) -> bytes:
    mode = "AL|NE" if enhanced else ""
    text = f"MSH|^~\\&|CN||RIS||2026||ORU^R01|{control_id}|P|2.5.1|||{mode}\rPID|||{control_id}\r"
    return text.encode()


def control_id(content: bytes) -> str:
    return content.split(b"|")[9].decode()


class Owed:
    """Three messages owed to one destination, carried as the engine carries them: one by one."""

    def __init__(self, port: int, *, enhanced: bool = False) -> None:
        self.clock, self.work, self.notes = Clock(), MemoryUnitOfWork(), Notes()
        spool = MemorySpool()
        self.sender = Hl7Sender(
            "127.0.0.1", port, connect_timeout_s=2.0, answer_timeout_s=ANSWER_TIMEOUT_S
        )
        self._postman = Postman(
            spool=spool,
            work=self.work,
            senders={"RIS": self.sender},
            policies={"RIS": RetryPolicy(initial_s=5, maximum_s=60)},
            committing=Committing(
                work=self.work, requesters={}, policies={}, retries={}, after={},
                telemetry=self.notes, clock=self.clock,
            ),
            telemetry=self.notes,
            clock=self.clock,
        )  # fmt: skip
        with self.work.begin() as transaction:
            job_id = transaction.jobs.add(INSTANCE)
            self._deliveries = {
                name: transaction.outbox.add(
                    job_id=job_id,
                    kind=ResultKind.ORU,
                    identifier=name,
                    sop_class_uid="",
                    destination="RIS",
                    destination_kind=DestinationKind.HL7,
                    content_digest=spool.put(message(name, enhanced=enhanced)),
                    revision=1,
                    at=self.clock(),
                )
                for name in CONTROL_IDS
            }

    def deliver(self, *, after_attempt: Callable[[], None] = lambda: None) -> None:
        """Each until it is settled; what goes on longer than it may is a failure."""
        for delivery_id in self._deliveries.values():
            for _ in range(10):
                wait_s = self._postman.attempt(delivery_id)
                after_attempt()
                if wait_s is None:
                    break
                self.clock.move(wait_s)
            else:
                raise AssertionError("tried without end")

    def came_to(self) -> dict[str, tuple[DeliveryState, list[Any]]]:
        """Of each message its state, and of each attempt the error code."""
        found = {}
        with self.work.begin() as transaction:
            for name, delivery_id in self._deliveries.items():
                delivery = transaction.outbox.get(delivery_id)
                assert delivery is not None
                codes = [each["error_code"] for each in transaction.outbox.attempts_of(delivery_id)]
                found[name] = (delivery.state, codes)
        return found


@contextmanager
def owed(port: int, *, enhanced: bool = False) -> Iterator[Owed]:
    made = Owed(port, enhanced=enhanced)
    try:
        yield made
    finally:
        made.sender.close()
        made.work.close()


class Ris:
    """Acknowledges every message, but first does wrong, once, when the second comes."""

    def __init__(self, misdeed: Callable[[Ris, socket.socket], None], *, good: str = "AA") -> None:
        self.received: list[bytes] = []
        self.given_up = Event()
        self._misdeed = misdeed
        self._good = good
        self._has_done_it = False

    def __call__(self, connection: socket.socket, number: int) -> None:
        while True:
            if self.received and not self._has_done_it:
                self._has_done_it = True
                self._misdeed(self, connection)
            content = self.take(connection)
            if not content:
                return
            self.answer(connection, self._good, content)

    def take(self, connection: socket.socket) -> bytes:
        content = take(connection)
        if content:
            self.received.append(content)
        return content

    def answer(self, connection: socket.socket, code: str, content: bytes) -> None:
        connection.sendall(ack(code, control_id(content)))


def never_answers(ris: Ris, connection: socket.socket) -> None:
    ris.take(connection)


def answers_too_late(ris: Ris, connection: socket.socket) -> None:
    content = ris.take(connection)
    assert connection.recv(1) == b"", "the sender has closed"
    ris.answer(connection, "AA", content)


def answers_another_message(ris: Ris, connection: socket.socket) -> None:
    ris.take(connection)
    connection.sendall(ack("AA", "C1"))


def answers_half_and_falls_silent(ris: Ris, connection: socket.socket) -> None:
    answer = ack("AA", control_id(ris.take(connection)))
    connection.sendall(answer[: len(answer) // 2])


def answers_half_and_closes(ris: Ris, connection: socket.socket) -> None:
    answers_half_and_falls_silent(ris, connection)
    connection.close()


def answers_all_but_the_last_byte(ris: Ris, connection: socket.socket) -> None:
    connection.sendall(ack("AA", control_id(ris.take(connection)))[:-1])


def closes_in_the_middle_of_the_message(ris: Ris, connection: socket.socket) -> None:
    connection.recv(10)
    connection.close()


def closes_without_an_answer(ris: Ris, connection: socket.socket) -> None:
    ris.take(connection)
    connection.close()


def reads_a_byte_at_a_time(ris: Ris, connection: socket.socket) -> None:
    connection.recv(1)
    ris.given_up.clear()
    while connection.recv(1) and not ris.given_up.wait(0.05):
        pass
    connection.close()


def answers_twice(ris: Ris, connection: socket.socket) -> None:
    content = ris.take(connection)
    ris.answer(connection, "AA", content)
    ris.answer(connection, "AA", content)


def says(code: str) -> Callable[[Ris, socket.socket], None]:
    def misdeed(ris: Ris, connection: socket.socket) -> None:
        ris.answer(connection, code, ris.take(connection))

    return misdeed


@pytest.mark.parametrize(
    ("misdeed", "whole_arrivals", "error_code"),
    [
        (never_answers, 2, "unanswered"),
        (answers_too_late, 2, "unanswered"),
        (answers_another_message, 2, "unanswered"),
        (answers_half_and_falls_silent, 2, "unanswered"),
        (answers_half_and_closes, 2, "unanswered"),
        (answers_all_but_the_last_byte, 2, "unanswered"),
        (closes_without_an_answer, 2, "unanswered"),
        (closes_in_the_middle_of_the_message, 1, "unanswered"),
        (reads_a_byte_at_a_time, 1, "unanswered"),
        (says("AE"), 2, "temporarily-refused"),
        (says("CE"), 2, "temporarily-refused"),
    ],
)
def test_what_was_not_acknowledged_is_sent_again_the_same_before_the_next(
    misdeed: Callable[[Ris, socket.socket], None], whole_arrivals: int, error_code: str
) -> None:
    ris = Ris(misdeed)
    with receiver(ris) as port, owed(port) as deliveries:
        deliveries.deliver(after_attempt=ris.given_up.set)
        assert deliveries.came_to() == {
            "C1": (DeliveryState.DELIVERED, [None]),
            "C2": (DeliveryState.DELIVERED, [error_code, None]),
            "C3": (DeliveryState.DELIVERED, [None]),
        }
    assert ris.received == [message("C1"), *[message("C2")] * whole_arrivals, message("C3")]


def test_an_answer_said_twice_settles_one_message_once() -> None:
    ris = Ris(answers_twice)
    with receiver(ris) as port, owed(port) as deliveries:
        deliveries.deliver()
        assert deliveries.came_to() == dict.fromkeys(CONTROL_IDS, (DeliveryState.DELIVERED, [None]))
    assert [control_id(content) for content in ris.received] == list(CONTROL_IDS)


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_a_message_that_is_rejected_waits_for_a_person_and_the_next_goes_out(code: str) -> None:
    ris = Ris(says(code))
    with receiver(ris) as port, owed(port) as deliveries:
        deliveries.deliver()
        assert deliveries.came_to() == {
            "C1": (DeliveryState.DELIVERED, [None]),
            "C2": (DeliveryState.REFUSED, ["refused"]),
            "C3": (DeliveryState.DELIVERED, [None]),
        }
    assert [control_id(content) for content in ris.received] == list(CONTROL_IDS)


@pytest.mark.parametrize("application_code", ["AA", "AE", "AR"])
def test_the_applications_own_acknowledgement_after_ca_settles_nothing(
    application_code: str,
) -> None:
    """Enhanced mode: it comes when it likes, here while the next message waits for its CA."""
    received: list[bytes] = []

    def behave(connection: socket.socket, number: int) -> None:
        while content := take(connection):
            for earlier in received:
                connection.sendall(ack(application_code, control_id(earlier)))
            received.append(content)
            connection.sendall(ack("CA", control_id(content)))

    with receiver(behave) as port, owed(port, enhanced=True) as deliveries:
        deliveries.deliver()
        assert deliveries.came_to() == dict.fromkeys(CONTROL_IDS, (DeliveryState.DELIVERED, [None]))
    assert received == [message(name, enhanced=True) for name in CONTROL_IDS]


def test_in_enhanced_mode_what_was_not_accepted_is_sent_again() -> None:
    ris = Ris(says("CE"), good="CA")
    with receiver(ris) as port, owed(port, enhanced=True) as deliveries:
        deliveries.deliver()
        assert deliveries.came_to()["C2"] == (
            DeliveryState.DELIVERED,
            ["temporarily-refused", None],
        )
    assert [control_id(content) for content in ris.received] == ["C1", "C2", "C2", "C3"]


def test_a_ris_that_restarts_gets_every_message_once_in_order() -> None:
    """It is gone after the first message, for two attempts, and again after the second."""
    ris = RisStandIn()
    port = ris.start()
    attempts: list[int] = []

    def after_attempt() -> None:
        attempts.append(len(ris.messages))
        if len(attempts) in (1, 4):
            ris.stop()
        elif len(attempts) in (3, 5):
            ris.start()

    try:
        with owed(port) as deliveries:
            deliveries.deliver(after_attempt=after_attempt)
            assert deliveries.came_to() == {
                "C1": (DeliveryState.DELIVERED, [None]),
                "C2": (DeliveryState.DELIVERED, ["unreachable", "unreachable", None]),
                "C3": (DeliveryState.DELIVERED, ["unreachable", None]),
            }
    finally:
        ris.stop()
    assert ris.messages == list(CONTROL_IDS)
    assert attempts == [1, 1, 1, 2, 2, 3]
