"""An HTTP server that takes one request a connection and answers with the bytes it was told."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pydicom import dcmread


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


def stored(request: bytes) -> bytes:
    """The answer of an archive that has stored what was sent."""
    _, _, part = request.partition(b"\r\n\r\n")[2].partition(b"\r\n\r\n")
    if not part:
        return answer(400)
    content = part[: part.rindex(b"\r\n--")]
    dataset = dcmread(io.BytesIO(content), stop_before_pixels=True)
    return answer(200, response(stored=str(dataset.SOPInstanceUID)))


Script = bytes | Callable[[bytes], bytes]


class ScriptedServer:
    """`requests` holds what came; `script` what is answered, the last for ever."""

    def __init__(self, *script: Script, tls: ssl.SSLContext | None = None) -> None:
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
        said = self.script[0] if len(self.script) == 1 else self.script.pop(0)
        connection.sendall(said if isinstance(said, bytes) else said(request))
        self.hold.wait(20)


def _is_whole(request: bytes) -> bool:
    head, separator, body = request.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return len(body) >= int(lengths[0].partition(b":")[2])


@contextlib.contextmanager
def serving(*script: Script, tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    server = ScriptedServer(*script, tls=tls)
    try:
        yield server
    finally:
        server.close()
