"""Small hand-made receivers."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

from node.hl7.mllp import Deframer, frame

Behaviour = Callable[[socket.socket, int], None]
"""Gets each accepted connection and its number, from 0."""


def message(control_id: str = "C1") -> bytes:
    return f"MSH|^~\\&|A|B|C|D|2026||ORU^R01|{control_id}|P|2.5.1\rPID|||1\r".encode()


def ack(code: str, control_id: str = "C1", rest: str = "") -> bytes:
    text = f"MSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|{code}|{control_id}{rest}\r"
    return frame(text.encode())


def take(connection: socket.socket) -> bytes:
    """The next message, or nothing when the connection is closed."""
    deframer = Deframer(1_000_000)
    while portion := connection.recv(65536):
        for content in deframer.feed(portion):
            return content
    return b""


@contextmanager
def receiver(behaviour: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port on which each connection, one after another, meets this behaviour.

    context: of a receiver with TLS; one that does not come about is passed over.
    """
    failures: list[BaseException] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with contextlib.ExitStack() as stack:
                stack.enter_context(connection)
                connection.settimeout(5)
                try:
                    if context is not None:
                        connection = context.wrap_socket(connection, server_side=True)
                        stack.enter_context(connection)
                    behaviour(connection, number)
                except OSError:
                    pass  # the sender closed, which some cases are about
                except BaseException as error:
                    failures.append(error)
            number += 1

    thread = Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(timeout=10)
    assert not failures
    assert not thread.is_alive()
