"""Syslog messages over TLS, handed over once the receiver has taken all of them.

Source: RFC 5424 §6, RFC 5425 §4.3 and §4.4; DICOM PS3.15 A.6; IHE ITI TF-2 3.20.4.1.2.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from node.dicom.tls import explanation
from node.domain.errors import Unanswered, Unreachable

_PRIORITY: Final = 10 * 8 + 5
"""Facility security/authorization, severity normal but significant."""
_MESSAGE_ID: Final = "IHE+RFC-3881"
_UTF8_FOLLOWS: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyslogReceiver:
    """One that takes audit messages."""

    host: str
    port: int
    server_name: str
    """The name in its certificate."""
    tls: Callable[[], ssl.SSLContext]
    application: str
    """APP-NAME."""
    timeout_s: float

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"

    def send(
        self, messages: Iterable[tuple[datetime, bytes]], *, within_s: float | None = None
    ) -> None:
        """Hand these over, each with its time, in a connection of their own.

        Syslog acknowledges nothing. That the receiver ends the connection in order, and not before
        we have, is the one sign that it has read all: what it then does with it nobody says.
        within_s: for each step, where that is less patient than usual.
        Raises Unreachable (nothing was handed over), Unanswered (perhaps some was).
        """
        connection = self._connect(within_s or self.timeout_s)
        try:
            with connection:
                for at, content in messages:
                    connection.sendall(self._frame(at, content))
                self._end(connection)
        except OSError as error:
            is_late = isinstance(error, TimeoutError)
            words = "it did not end the connection in time" if is_late else "it hung up early"
            raise Unanswered(
                f"the audit repository {self.where} did not take all messages: {words}; they are "
                "sent again"
            ) from None

    def _connect(self, within_s: float) -> ssl.SSLSocket:
        try:
            connection = socket.create_connection((self.host, self.port), within_s)
        except OSError as error:
            raise Unreachable(
                f"no connection to the audit repository {self.where} "
                f"({error.strerror or 'no answer in time'}); check address, port and firewall"
            ) from None
        try:
            return self.tls().wrap_socket(connection, server_hostname=self.server_name)
        except OSError as error:
            connection.close()
            raise Unreachable(
                f"no TLS with the audit repository {self.where}: {explanation(error)}"
            ) from None

    def _end(self, connection: ssl.SSLSocket) -> None:
        """Say that no more comes, and wait until the receiver is at its end too. Raises OSError."""
        timeout_s = connection.gettimeout()
        connection.settimeout(0)
        with suppress(ssl.SSLWantReadError):  # as it should be: it has nothing to say
            if not connection.recv(1):
                raise ConnectionResetError
        connection.settimeout(timeout_s)
        try:
            connection.unwrap().close()
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return  # it has read our end, and hung up
        except ssl.SSLError as error:
            if error.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
                return  # it said something more: its end has come
            raise

    def _frame(self, at: datetime, content: bytes) -> bytes:
        head = (
            f"<{_PRIORITY}>1 {at.isoformat(timespec='milliseconds')} "
            f"{_printable(socket.gethostname())} {_printable(self.application)} {os.getpid()} "
            f"{_MESSAGE_ID} - "
        )
        message = head.encode("ascii") + _UTF8_FOLLOWS + content
        return b"%d " % len(message) + message


def _printable(name: str) -> str:
    """PRINTUSASCII, 48 characters at most. Source: RFC 5424 §6."""
    return "".join(each for each in name if "!" <= each <= "~")[:48] or "-"
