"""A web server on port 0 that takes STOW-RS and notes what it was given and what it reported."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from node.dicom.stow_service import StowService
from node.web.bearer import BearerTokens
from node.web.server import WebServer
from node.web.stow import StowEndpoint, StowLimits

TOKEN = "0f3c9f3e5a0d4b7e8c1a2b3c4d5e6f70"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
RELATED = 'multipart/related; type="application/dicom"; boundary=BOUNDARY'
LIMITS = StowLimits(
    maximum_request_bytes=3_000_000,
    maximum_instance_bytes=1_000_000,
    maximum_parts=5,
    maximum_requests=2,
    timeout_s=5,
)


def multipart(*parts: bytes, head: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    """A body with the boundary BOUNDARY."""
    begun = [b"--BOUNDARY\r\n" + head + b"\r\n" + part + b"\r\n" for part in parts]
    return b"".join([*begun, b"--BOUNDARY--\r\n"])


class StowServer:
    """`accepted` holds what was kept; `before_accepting` may wait or raise."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.reports: list[tuple[str, dict[str, Any]]] = []
        self.before_accepting: Callable[[], None] = lambda: None
        self.tokens = folder / "tokens"
        self.tokens.write_text(f"# who may store\nCART {sha256(TOKEN.encode()).hexdigest()}\n")
        self._lock = threading.Lock()
        self._server = WebServer(
            host="127.0.0.1",
            port=0,
            health=list,
            readiness=list,
            metrics=bytes,
            stow=StowEndpoint(
                service=StowService(
                    accept=self._accept, maximum_bytes=10_000_000, report=self._report
                ),
                called_ae="CARDIONODE",
                tokens=BearerTokens(self.tokens),
                limits=replace(LIMITS, **limits),
                report=self._report,
            ),
        )
        self.port = 0

    def __enter__(self) -> StowServer:
        self.port = self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()

    def _accept(self, dataset_bytes: bytes, **fields: Any) -> None:
        self.before_accepting()
        with self._lock:
            self.accepted.append({"bytes": dataset_bytes, **fields})

    def _report(self, message: str, **fields: Any) -> None:
        self.reports.append((message, fields))

    def said(self, message: str) -> list[dict[str, Any]]:
        return [fields for text, fields in self.reports if text == message]

    def post(
        self,
        body: bytes,
        *,
        path: str = "/dicom-web/studies",
        content_type: str | None = RELATED,
        **headers: str,
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and headers of the answer to an authorised request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {**AUTHORIZED, **{name.replace("_", "-"): each for name, each in headers.items()}}
        if content_type is not None:
            given["Content-Type"] = content_type
        try:
            connection.request("POST", path, body, given)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()
