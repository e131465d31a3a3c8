"""PDUs on a connection: none longer than allowed is read, and nothing is waited for without end."""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final

from node.dicom import tls
from node.dicom.pdu import HEADER, AbortReason, PduType, ProtocolViolation

_PORTION_BYTES: Final = 16384
"""Received ahead: the header of a PDU and the start of its body, or all of it."""
_NOW_S: Final = 0.001
"""A timeout of 0 would make the socket non-blocking."""
_READ: Final = select.POLLIN
_WRITE: Final = select.POLLOUT
_TLS_HANDSHAKE: Final = b"\x16\x03"
"""Content type and major version, where a PDU has its type. Source: RFC 8446 §5.1."""


class ConnectionEnded(Exception):
    """Nothing more will be read. `reason` is ours when we ended it, None when the peer did."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


class PduStream:
    """One connection, read and written by one thread; `end` and `cut` are for the others."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        """connection: connected, TLS or not; it is closed with the stream."""
        # Not blocking: a socket with a timeout asks the system thrice for each portion, and Python
        # changes threads at each.
        connection.setblocking(False)
        self._connection = connection
        self._portion = memoryview(bytearray(_PORTION_BYTES))
        self._ahead = self._portion[:0]
        """What was received and not read."""
        self._end_reason: str | None = None
        self.address = address
        self.opened_at_s = time.monotonic()
        self.waiting_since_s: float | None = None
        """On the monotonic clock, while the peer has begun no PDU; None while there is work."""

    def handshake(self, *, by_s: float) -> tuple[str, ...]:
        """Shake hands where this is TLS; gives the names in the peer's certificate.

        by_s: on the monotonic clock. Raises TimeoutError, ConnectionEnded (its reason is then why
        the peer was not let in).
        """
        connection = self._connection
        if not isinstance(connection, ssl.SSLSocket):
            return ()
        try:
            connection.settimeout(max(by_s - time.monotonic(), _NOW_S))
            speaks_tls = tls.speaks_tls(connection)
        except TimeoutError:
            raise TimeoutError("nothing was sent in time") from None
        except OSError as error:
            raise ConnectionEnded(self._end_reason) from error
        if not speaks_tls:
            raise ConnectionEnded(self._end_reason or (None if speaks_tls is None else tls.NO_TLS))
        try:
            connection.settimeout(max(by_s - time.monotonic(), _NOW_S))
            connection.do_handshake()
        except OSError as error:
            raise ConnectionEnded(self._end_reason or tls.explanation(error)) from error
        connection.setblocking(False)
        return tls.peer_names(connection)

    def read(
        self,
        largest: Mapping[PduType, int],
        *,
        begin_by_s: float,
        complete_within_s: float | None = None,
    ) -> tuple[PduType, memoryview]:
        """The next PDU, without its header.

        largest: the PDUs that may come now, and the most bytes that may follow their header.
        begin_by_s: on the monotonic clock. complete_within_s: from its first byte on; None asks for
        all of it by begin_by_s.
        Raises ProtocolViolation (another PDU, or a longer one: its body is not read), TimeoutError,
        ConnectionEnded.
        """
        header = bytearray(HEADER.size)
        deadline_s = begin_by_s
        try:
            self.waiting_since_s = time.monotonic()
            if self._end_reason is not None:
                raise ConnectionEnded(self._end_reason)
            begun = self._take(memoryview(header), deadline_s)
            self.waiting_since_s = None
            if complete_within_s is not None:
                deadline_s = time.monotonic() + complete_within_s
            self._fill(memoryview(header)[begun:], deadline_s)
            kind, length = _checked(header, largest)
            body = memoryview(bytearray(length))
            self._fill(body, deadline_s)
        except TimeoutError:
            raise TimeoutError(
                "a PDU was begun and not ended in time"
                if self.waiting_since_s is None
                else "nothing was sent in time"
            ) from None
        except OSError as error:
            raise ConnectionEnded(self._end_reason) from error
        return kind, body

    def send(self, pdu: bytes, *, within_s: float) -> None:
        """Raises TimeoutError, ConnectionEnded."""
        deadline_s = time.monotonic() + within_s
        rest = memoryview(pdu)
        try:
            while rest:
                rest = rest[self._when_ready(self._connection.send, rest, _WRITE, deadline_s) :]
        except TimeoutError:
            raise TimeoutError("an answer was not taken in time") from None
        except OSError as error:
            raise ConnectionEnded(self._end_reason) from error

    def drain(self, *, within_s: float, at_most_bytes: int) -> None:
        """Send nothing more, and wait for the peer to close.

        Closing over bytes that were not read resets the connection, and what was sent last may then
        not reach the peer.
        """
        deadline_s = time.monotonic() + within_s
        with contextlib.suppress(OSError, ConnectionEnded):
            if isinstance(self._connection, ssl.SSLSocket):
                with contextlib.suppress(OSError):
                    self._connection.unwrap()  # says so to the peer, and waits for nothing
            self._connection.shutdown(socket.SHUT_WR)  # from here on what comes is not decrypted
            while at_most_bytes > 0:
                at_most_bytes -= self._receive(self._portion, deadline_s)

    def end(self, reason: str) -> None:
        """Have the reading thread find the connection ended; it can still answer."""
        self._end_reason = reason
        self._shut(socket.SHUT_RD)

    def cut(self) -> None:
        """End reading and writing at once."""
        self._shut(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()

    def _shut(self, how: int) -> None:
        """Of TCP: an SSLSocket's own shutdown would take TLS away under the thread that reads."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._connection, how)

    def _fill(self, view: memoryview, deadline_s: float) -> None:
        while view:
            view = view[self._take(view, deadline_s) :]

    def _take(self, view: memoryview, deadline_s: float) -> int:
        """Some bytes, at least one: of those received ahead, else of what comes."""
        if not self._ahead:
            if len(view) >= _PORTION_BYTES:
                return self._receive(view, deadline_s)
            self._ahead = self._portion[: self._receive(self._portion, deadline_s)]
        count = min(len(view), len(self._ahead))
        view[:count] = self._ahead[:count]
        self._ahead = self._ahead[count:]
        return count

    def _receive(self, view: memoryview, deadline_s: float) -> int:
        count = self._when_ready(self._connection.recv_into, view, _READ, deadline_s)
        if not count:
            raise ConnectionEnded(self._end_reason)
        return count

    def _when_ready(
        self,
        transfer: Callable[[memoryview], int],
        view: memoryview,
        event: int,
        deadline_s: float,
    ) -> int:
        """Bytes that were transferred as soon as some could be. Raises TimeoutError, OSError."""
        while True:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0:
                raise TimeoutError
            try:
                return transfer(view)
            except BlockingIOError:
                wanted = event
            except ssl.SSLWantReadError:
                wanted = _READ
            except ssl.SSLWantWriteError:
                wanted = _WRITE
            waiting = select.poll()
            waiting.register(self._connection, wanted)
            waiting.poll(math.ceil(remaining_s * 1000))


def _checked(header: bytearray, largest: Mapping[PduType, int]) -> tuple[PduType, int]:
    number, length = HEADER.unpack(header)
    if header.startswith(_TLS_HANDSHAKE):
        raise ProtocolViolation(
            AbortReason.UNRECOGNIZED_PDU,
            "the caller speaks TLS on the port without: have it call dicom.tls_port",
        )
    try:
        kind = PduType(number)
    except ValueError as error:
        raise ProtocolViolation(
            AbortReason.UNRECOGNIZED_PDU, "a PDU of a type that there is not"
        ) from error
    if kind not in largest:
        raise ProtocolViolation(AbortReason.UNEXPECTED_PDU, f"an unexpected {kind}")
    if length > largest[kind]:
        raise ProtocolViolation(AbortReason.INVALID_PARAMETER, f"{kind} longer than may be sent")
    return kind, length
