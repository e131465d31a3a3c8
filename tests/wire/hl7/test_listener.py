"""The listener over real sockets: framing, limits, and no answer before the handler returned."""

from __future__ import annotations

import os
import resource
import socket
import time
from ipaddress import IPv4Network
from threading import Event

import pytest

from node.domain.errors import ConfigurationError
from node.hl7.listener import MllpListener
from node.hl7.mllp import frame
from tests.wire.dicom.listening import soon
from tests.wire.hl7.listening import (
    Events,
    answers,
    connect,
    echo,
    is_closed,
    listening,
    message,
)


def test_two_messages_on_one_connection_are_answered_in_order() -> None:
    with listening() as listener, connect(listener) as connection:
        connection.sendall(frame(message("C1")))
        assert answers(connection, 1) == ["AA C1"]
        connection.sendall(frame(message("C2")))
        assert answers(connection, 1) == ["AA C2"]


def test_messages_that_arrive_together_are_each_answered() -> None:
    with listening() as listener, connect(listener) as connection:
        connection.sendall(b"".join(frame(message(f"C{at}")) for at in range(5)))
        assert answers(connection, 5) == [f"AA C{at}" for at in range(5)]


def test_a_message_that_arrives_byte_by_byte_is_answered() -> None:
    with listening() as listener, connect(listener) as connection:
        for byte in frame(message()):
            connection.sendall(bytes([byte]))
            time.sleep(0.001)
        assert answers(connection, 1) == ["AA C1"]


def test_the_handler_gets_the_bytes_as_sent_and_the_peer() -> None:
    got: list[tuple[bytes, str]] = []

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        got.append((content, peer))
        return echo(content, peer)

    with listening(handler) as listener, connect(listener) as connection:
        connection.sendall(b"\r\n" + frame(message()))
        answers(connection, 1)
    assert got == [(message(), "127.0.0.1")]


def test_nothing_is_answered_before_the_handler_has_returned() -> None:
    durable = Event()

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        assert durable.wait(5)
        return echo(content, peer)

    with listening(handler) as listener, connect(listener) as connection:
        connection.sendall(frame(message()))
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        durable.set()
        connection.settimeout(5)
        assert answers(connection, 1) == ["AA C1"]


@pytest.mark.parametrize(
    "attack",
    [
        b"\x0b" + b"x" * 10_100,
        frame(b"x" * 10_100),
        b"\x0bMSH|^~\\&|\x0bMSH|^~\\&|",
        b"\x0bMSH\x1cPID",
        b"GET / HTTP/1.1\r\n" + b"x" * 2000,
    ],
)
def test_what_is_not_a_message_closes_the_connection_and_is_never_quoted(attack: bytes) -> None:
    events: Events = []
    with listening(events=events) as listener:
        with connect(listener) as connection:
            connection.sendall(attack)
            assert is_closed(connection)
        with connect(listener) as connection:
            connection.sendall(frame(message()))
            assert answers(connection, 1) == ["AA C1"]
    name, fields = events[0]
    assert name == "hl7 connection closed: not a message"
    assert fields["error_code"] == "malformed-message"
    assert "MSH" not in str(fields["reason"])


def test_a_failing_handler_gives_no_answer_and_closes() -> None:
    events: Events = []

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        raise RuntimeError("bug")

    with listening(handler, events=events) as listener, connect(listener) as connection:
        connection.sendall(frame(message()))
        assert is_closed(connection)
    assert events[0][0] == "hl7 handler failed"
    assert events[0][1] == {"peer": "127.0.0.1", "reason": "RuntimeError"}


def test_an_idle_connection_is_closed() -> None:
    events: Events = []
    with listening(idle_timeout_s=0.2, events=events) as listener, connect(listener) as connection:
        assert is_closed(connection)
    assert events[0][0] == "hl7 connection closed: idle or too slow"


def test_a_message_that_never_ends_is_given_up_though_bytes_keep_coming() -> None:
    with listening(idle_timeout_s=0.3) as listener, connect(listener) as connection:
        began = time.monotonic()
        connection.sendall(b"\x0bMSH|^~\\&|")
        connection.settimeout(0.05)
        closed = False
        while not closed and time.monotonic() - began < 5:
            try:
                connection.sendall(b"x")
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed
        assert time.monotonic() - began < 2.0


def test_one_connection_too_many_is_closed_at_once() -> None:
    events: Events = []
    with listening(maximum_connections=1, events=events) as listener:
        with connect(listener) as first:
            first.sendall(frame(message("C1")))
            assert answers(first, 1) == ["AA C1"]
            with connect(listener) as second:
                assert is_closed(second)
            first.sendall(frame(message("C2")))
            assert answers(first, 1) == ["AA C2"]
        assert events[0][0] == "hl7 connection refused: too many"
        time.sleep(0.1)
        with connect(listener) as third:
            third.sendall(frame(message("C3")))
            assert answers(third, 1) == ["AA C3"]


def test_without_file_descriptors_a_caller_waits_until_some_are_given_back() -> None:
    events: Events = []
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening(events=events) as listener, socket.socket() as caller:
        caller.settimeout(5)
        next_free = os.dup(caller.fileno())
        os.close(next_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, usual[1]))
        try:
            caller.connect(("127.0.0.1", listener.port or 0))
            assert soon(lambda: bool(events))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        caller.sendall(frame(message()))
        assert answers(caller, 1) == ["AA C1"]
    assert events[0] == ("hl7 connection not taken", {"reason": "Too many open files"})


def test_a_port_that_is_taken_is_named() -> None:
    with listening() as listener:
        other = MllpListener(
            "127.0.0.1",
            listener.port,
            echo,
            limit_bytes=1,
            idle_timeout_s=1,
            maximum_connections=1,
            on_event=lambda name, fields: None,
        )
        with pytest.raises(ConfigurationError, match=str(listener.port)):
            other.start()


def test_stopping_lets_a_message_in_hand_be_answered_and_closes_idle_connections() -> None:
    begun, release = Event(), Event()

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        begun.set()
        assert release.wait(5)
        time.sleep(0.2)
        return echo(content, peer)

    with listening(handler) as listener, connect(listener) as busy, connect(listener) as idle:
        busy.sendall(frame(message()))
        assert begun.wait(5)
        release.set()
        listener.stop()
        assert answers(busy, 1) == ["AA C1"]
        assert is_closed(idle)


def test_stopping_is_bounded_when_a_handler_hangs() -> None:
    begun, release = Event(), Event()

    def handler(content: bytes, peer: str) -> tuple[bytes, ...]:
        begun.set()
        release.wait(20)
        return ()

    with listening(handler) as listener, connect(listener) as connection:
        connection.sendall(frame(message()))
        assert begun.wait(5)
        began = time.monotonic()
        listener.stop(grace_s=0.2)
        assert time.monotonic() - began < 3.0
        assert is_closed(connection)
        release.set()


def test_only_callers_of_the_networks_that_may_call_are_heard() -> None:
    events: Events = []
    for network, is_heard in (("127.0.0.0/8", True), ("192.0.2.0/24", False)):
        with (
            listening(networks=[IPv4Network(network)], events=events) as listener,
            connect(listener) as connection,
        ):
            connection.sendall(frame(message()))
            if is_heard:
                assert answers(connection, 1) == ["AA C1"]
            else:
                assert is_closed(connection)
    assert events == [("hl7 connection refused: address not allowed", {"peer": "127.0.0.1"})]
