"""A listener on loopback and a caller of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network

from node.hl7.acknowledgement import acknowledge
from node.hl7.listener import Handler, MllpListener
from node.hl7.message import read_acknowledgement
from node.hl7.mllp import Deframer
from node.hl7.tls import Tls

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
Events = list[tuple[str, dict[str, object]]]


def message(control_id: str = "C1", *, kind: str = "ORM^O01", mode: str = "") -> bytes:
    text = f"MSH|^~\\&|RIS|H|CN|E|2026||{kind}|{control_id}|P|2.5.1|||{mode}\rPID|||1\r"
    return text.encode()


def echo(content: bytes, peer: str) -> tuple[bytes, ...]:
    return acknowledge(content, lambda kept, header: None, at=AT)


@contextmanager
def listening(
    handler: Handler = echo,
    *,
    limit_bytes: int = 10_000,
    idle_timeout_s: float = 5.0,
    maximum_connections: int = 4,
    events: Events | None = None,
    tls: Tls | None = None,
    handshake_timeout_s: float = 5.0,
    networks: Sequence[IPv4Network] | None = None,
) -> Iterator[MllpListener]:
    """With tls on a second port too."""
    seen: Events = [] if events is None else events
    listener = MllpListener(
        "127.0.0.1",
        0,
        handler,
        limit_bytes=limit_bytes,
        idle_timeout_s=idle_timeout_s,
        maximum_connections=maximum_connections,
        on_event=lambda name, fields: seen.append((name, fields)),
        tls_port=None if tls is None else 0,
        tls=tls,
        handshake_timeout_s=handshake_timeout_s,
        networks=networks,
    )
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


def connect(listener: MllpListener) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", listener.port or 0), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answers(connection: socket.socket, count: int) -> list[str]:
    """MSA-1 and MSA-2 of so many acknowledgements; fewer when the connection is closed."""
    deframer, found = Deframer(100_000), list[str]()
    while len(found) < count and (portion := connection.recv(65536)):
        for content in deframer.feed(portion):
            answer = read_acknowledgement(content)
            found.append(f"{answer.code.value} {answer.control_id}".strip())
    return found


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
