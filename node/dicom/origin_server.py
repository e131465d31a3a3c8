"""An HTTP server that is asked with POST: requests bounded in time, answers in size too."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import h11

from node.dicom.tls import explanation
from node.domain.errors import Unanswered, Unreachable

_PORTION_BYTES: Final = 65536
_ANSWER_BYTES: Final = 1_000_000
"""A Store Instances Response of one instance has some hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Lower-case names."""
    body: bytes = field(repr=False)

    @property
    def retry_after_s(self) -> float:
        """Seconds of Retry-After, a number or a date; 0 where it says nothing that can be read.

        A date is taken against the server's own clock. Source: RFC 9110 §10.2.3.
        """
        value = self.headers.get("retry-after", "")
        if value.isascii() and value.isdecimal():
            return float(value[:9])
        try:
            until = parsedate_to_datetime(value)
            return max(0.0, (until - parsedate_to_datetime(self.headers["date"])).total_seconds())
        except (KeyError, TypeError, ValueError, OverflowError):
            return 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginServer:
    """Takes one request a connection."""

    host: str
    port: int
    tls: Callable[[], ssl.SSLContext] | None
    """Gives what a connection is secured with; None for plain HTTP."""
    connect_timeout_s: float
    answer_timeout_s: float
    """For taking the whole request, and again for the whole answer."""
    longest_answer_bytes: int = _ANSWER_BYTES

    @classmethod
    def of(
        cls,
        url: str,
        *,
        tls: Callable[[], ssl.SSLContext],
        connect_timeout_s: float,
        answer_timeout_s: float,
        longest_answer_bytes: int = _ANSWER_BYTES,
    ) -> OriginServer:
        """The one of an http or https URL. tls: what https is done with."""
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        return cls(
            host=parts.hostname or "",
            port=parts.port or (443 if secure else 80),
            tls=tls if secure else None,
            connect_timeout_s=connect_timeout_s,
            answer_timeout_s=answer_timeout_s,
            longest_answer_bytes=longest_answer_bytes,
        )

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The server's final answer, whatever it says.

        Raises Unreachable (no connection, or it ended before all was sent), Unanswered (sent, but
        no answer in time, or none that is HTTP).
        """
        client = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method="POST",
            target=path,
            headers=[
                ("Host", self.where),
                ("Connection", "close"),
                ("Content-Length", str(len(body))),
                *headers.items(),
            ],
        )
        head = client.send(request) or b""
        client.send(h11.Data(data=body))
        client.send(h11.EndOfMessage())
        with contextlib.closing(self._connect()) as connection:
            sent = self._send(connection, head, body)
            try:
                return self._receive(connection, client)
            except (OSError, h11.RemoteProtocolError) as error:
                raise self._without_answer(error, sent=sent) from None

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection((self.host, self.port), self.connect_timeout_s)
        except OSError as error:
            raise Unreachable(
                f"no connection to {self.where} ({error.strerror or 'no answer in time'}); "
                "check address, port and firewall"
            ) from None
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is None:
            return connection
        try:
            # No server is without a certificate, and its name is checked.
            return self.tls().wrap_socket(connection, server_hostname=self.host)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise Unreachable(
                f"the certificate of {self.where} is not trusted: {error.verify_message}; "
                "check the destination's authorities, and the name in its url"
            ) from None
        except OSError as error:
            connection.close()
            raise Unreachable(f"no TLS with {self.where}: {explanation(error)}") from None
        except BaseException:
            connection.close()
            raise

    def _send(self, connection: socket.socket, head: bytes, body: bytes) -> bool:
        """Whether all was taken; a server that refuses may have said why, and closed."""
        deadline_s = time.monotonic() + self.answer_timeout_s
        try:
            for content in (head, body):
                left = memoryview(content)
                while left:
                    connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
                    left = left[connection.send(left[:_PORTION_BYTES]) :]
                    if left and time.monotonic() >= deadline_s:
                        return False
        except OSError:
            return False
        return True

    def _receive(self, connection: socket.socket, client: h11.Connection) -> Answer:
        deadline_s = time.monotonic() + self.answer_timeout_s
        response: h11.Response | None = None
        body = bytearray()
        while True:
            event = client.next_event()
            if event is h11.NEED_DATA:
                connection.settimeout(max(deadline_s - time.monotonic(), 0.001))
                client.receive_data(connection.recv(_PORTION_BYTES))
                if time.monotonic() >= deadline_s:
                    raise TimeoutError
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > self.longest_answer_bytes:
                    raise h11.RemoteProtocolError("too long an answer")
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                headers = {
                    name.decode("latin-1"): value.decode("latin-1")
                    for name, value in response.headers
                }
                return Answer(status=response.status_code, headers=headers, body=bytes(body))
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("no answer")

    def _without_answer(self, error: Exception, *, sent: bool) -> Unreachable | Unanswered:
        if isinstance(error, ssl.SSLError):
            return Unreachable(f"{self.where} ended TLS: {explanation(error)}")
        if not sent:
            return Unreachable(
                f"{self.where} did not take the whole request; nothing was delivered"
            )
        if isinstance(error, TimeoutError):
            what = f"gave no whole answer within {self.answer_timeout_s:g} s"
        elif isinstance(error, OSError):
            what = "lost the connection before an answer"
        else:
            what = "gave no answer that is HTTP"
        return Unanswered(f"{self.where} {what}; the object is sent again as it is")
