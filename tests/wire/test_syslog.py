"""Handing over audit messages to receivers that do not take them all."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.atna.syslog import SyslogReceiver
from node.domain.errors import Unanswered, Unreachable
from tests.certificates import HOST, Authority, Files
from tests.end_to_end.node_process import free_port

MESSAGES = [(datetime(2026, 1, 1, tzinfo=UTC), b"<AuditMessage/>" * 10)] * 3


@contextmanager
def receiver(
    folder: Path, does: Callable[[ssl.SSLSocket], None], timeout_s: float = 2.0
) -> Iterator[SyslogReceiver]:
    """One that does this with a connection."""
    authority = Authority(folder)
    shown, own = authority.issue("receiver"), authority.issue("node")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as secured:
                does(secured)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield SyslogReceiver(
        host=HOST, port=listener.getsockname()[1], server_name=HOST,
        tls=lambda: client(own), application="node", timeout_s=timeout_s,
    )  # fmt: skip
    listener.close()
    thread.join(timeout=10)


def client(own: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=own.authorities)
    context.load_cert_chain(own.certificate, own.key)
    return context


def read_all(connection: ssl.SSLSocket) -> None:
    while connection.recv(65536):
        pass


def close_at_once(connection: ssl.SSLSocket) -> None:
    connection.shutdown(socket.SHUT_WR)
    time.sleep(1.0)


def say_the_end_at_once(connection: ssl.SSLSocket) -> None:
    connection.settimeout(1.0)
    with suppress(OSError):
        connection.unwrap()


def sleep(connection: ssl.SSLSocket) -> None:
    time.sleep(3.0)


def test_who_reads_to_the_end_has_them(tmp_path: Path) -> None:
    with receiver(tmp_path, read_all) as found:
        found.send(MESSAGES)


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (close_at_once, "hung up early"),
        (say_the_end_at_once, "hung up early"),
        (sleep, "did not end the connection in time"),
    ],
)
def test_who_does_not_is_told_again(
    tmp_path: Path, does: Callable[[ssl.SSLSocket], None], said: str
) -> None:
    def messages() -> Iterator[tuple[datetime, bytes]]:
        for each in MESSAGES:
            time.sleep(0.2)  # an end of the other side is here by then
            yield each

    with receiver(tmp_path, does, timeout_s=1.0) as found, pytest.raises(Unanswered) as refusal:
        found.send(messages())
    assert said in refusal.value.message
    assert "sent again" in refusal.value.message


def test_nobody_is_said(tmp_path: Path) -> None:
    own = Authority(tmp_path).issue("node")
    found = SyslogReceiver(
        host=HOST, port=free_port(), server_name=HOST, tls=lambda: client(own),
        application="node", timeout_s=2.0,
    )  # fmt: skip
    with pytest.raises(Unreachable, match="check address, port and firewall"):
        found.send(MESSAGES)
