"""An HTTP server that takes one request a connection and answers with the bytes it was told."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A response as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def response(*, stored: str = "", failed: str = "", reason: object = 0x0110) -> bytes:
    """A Store Instances Response as other servers write it."""
    dataset: dict[str, Any] = {}
    if stored:
        item = {"00081155": {"vr": "UI", "Value": [stored]}}
        dataset["00081199"] = {"vr": "SQ", "Value": [item]}
    if failed:
        item = {
            "00081155": {"vr": "UI", "Value": [failed]},
            "00081197": {"vr": "US", "Value": [reason]},
        }
        dataset["00081198"] = {"vr": "SQ", "Value": [item]}
    return json.dumps(dataset).encode()


class ScriptedServer:
    """`requests` holds what came; `script` what is answered, the last for ever."""

    def __init__(self, *script: bytes, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.script = list(script)
        self.takes_bytes = 1 << 30
        """After so many of a request it answers and closes."""
        self.hold = threading.Event()
        """Cleared: what follows the script's bytes is silence, not the end."""
        self.hold.set()
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(5)
                if self._tls is None:
                    self._answer(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as secured:
                        self._answer(secured)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while not _is_whole(request) and len(request) < self.takes_bytes:
            portion = connection.recv(65536)
            if not portion:
                return
            request += portion
        self.requests.append(request)
        connection.sendall(self.script[0] if len(self.script) == 1 else self.script.pop(0))
        self.hold.wait(20)


def _is_whole(request: bytes) -> bool:
    head, separator, body = request.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].partition(b":")[2])


@contextlib.contextmanager
def serving(*script: bytes, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(*script, tls=tls)
    try:
        yield server
    finally:
        server.close()
