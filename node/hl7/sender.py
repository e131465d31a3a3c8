"""Carries messages to one HL7 receiver over MLLP, one at a time, and reads its acknowledgements.

Blocking: the delivery workers are threads. The connection stays open between messages.
Source: HL7 v2.5.1 §2.9.2 (original mode), §2.9.3 (enhanced mode).
"""

from __future__ import annotations

import socket
import ssl
import time
from threading import Lock
from typing import Final

from node.domain.errors import (
    MalformedMessage,
    Refused,
    TemporarilyRefused,
    Unanswered,
    Unreachable,
)
from node.hl7.message import (
    Acknowledgement,
    AcknowledgementCode,
    read_acknowledgement,
    read_header,
)
from node.hl7.mllp import Deframer, frame
from node.hl7.tls import Tls

_ACCEPTED = {AcknowledgementCode.AA, AcknowledgementCode.CA}
_ERRORS = {AcknowledgementCode.AE, AcknowledgementCode.CE}
_PORTION_BYTES: Final = 65536
_REFUSES_WITHIN_S: Final = 2.0


class Hl7Sender:
    """The connection to one receiver; safe to use from several threads, which then take turns."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 30.0,
        limit_bytes: int = 1_000_000,
        tls: Tls | None = None,
        server_name: str | None = None,
    ) -> None:
        """connect_timeout_s: for the connection, and again for the handshake of TLS.

        limit_bytes: of one acknowledgement. tls: None is without. server_name: the one in the
        receiver's certificate, where it is not the host.
        """
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._limit_bytes = limit_bytes
        self._tls = tls
        self._server_name = server_name or host
        self._turn = Lock()
        self._line: _Line | None = None

    def send(self, content: bytes) -> Acknowledgement:
        """The receiver's AA or CA for this message.

        Raises Unreachable (no connection, nothing was delivered), Unanswered (sent, but no answer
        to this control id in time), TemporarilyRefused (AE, CE), Refused (AR, CR), MalformedMessage
        (the content is no message).
        """
        control_id = read_header(content).control_id
        block = frame(content)
        with self._turn:
            line = self._live_line()
            try:
                answer = self._exchange(line, block, control_id)
            except (Unanswered, Unreachable):
                # A late answer must never be taken for the next message's.
                self._disconnect()
                raise
        return judged(answer)

    def probe(self) -> None:
        """Open and close a connection, sending nothing. Raises Unreachable."""
        self._wait_for_refusal(self._reach())

    def close(self) -> None:
        """Close the connection; the next message opens one again."""
        with self._turn:
            self._disconnect()

    def _live_line(self) -> _Line:
        """The open line, or a new one when the old one is of no use any more."""
        if self._line is not None and not self._line.is_quiet():
            self._disconnect()
        if self._line is None:
            self._line = _Line(self._secured(self._reach()), self._limit_bytes)
        return self._line

    def _reach(self) -> socket.socket:
        try:
            connection = socket.create_connection(
                (self._host, self._port), timeout=self._connect_timeout_s
            )
        except OSError as error:
            raise Unreachable(
                f"no connection to {self._host}:{self._port} "
                f"({error.strerror or 'no answer in time'}); check address, port and firewall"
            ) from None
        # The last, short packet of a message must not wait for the acknowledgement of the others.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    def _secured(self, connection: socket.socket) -> socket.socket:
        """The connection, with TLS where there is to be TLS."""
        if self._tls is None:
            return connection
        try:
            return self._tls.context().wrap_socket(connection, server_hostname=self._server_name)
        except OSError as error:
            connection.close()
            raise self._without_tls(self._tls, error) from None

    def _wait_for_refusal(self, connection: socket.socket) -> None:
        """Close the connection once it is sure that TLS comes about.

        By TLS 1.3 a server refuses our certificate only after the handshake.
        """
        with self._secured(connection) as secured:
            if self._tls is None:
                return
            secured.settimeout(_REFUSES_WITHIN_S)
            try:
                secured.recv(1)
            except TimeoutError:
                return
            except OSError as error:
                raise self._without_tls(self._tls, error) from None

    def _disconnect(self) -> None:
        if self._line is not None:
            self._line.connection.close()
            self._line = None

    def _exchange(self, line: _Line, block: bytes, control_id: str) -> Acknowledgement:
        deadline = time.monotonic() + self._answer_timeout_s
        connection = line.connection
        try:
            connection.settimeout(self._answer_timeout_s)
            connection.sendall(block)
            while True:
                # A timeout of 0 would make the socket non-blocking.
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                portion = connection.recv(_PORTION_BYTES)
                if not portion:
                    raise self._unanswered("closed the connection without an answer")
                for answer in line.deframer.feed(portion):
                    acknowledgement = _acknowledgement_of(answer, control_id)
                    if acknowledgement is not None:
                        line.has_answered = True
                        return acknowledgement
                if time.monotonic() >= deadline:
                    raise TimeoutError
        except TimeoutError:
            raise self._unanswered(
                f"gave no answer to this message within {self._answer_timeout_s:g} s"
            ) from None
        except OSError:
            raise self._lost(line) from None
        except MalformedMessage as error:
            raise self._unanswered(f"answered with what is not MLLP: {error}") from None

    def _lost(self, line: _Line) -> Unanswered | Unreachable:
        """What a lost connection means.

        Why our certificate is refused may be lost with it, and is then said by another handshake.
        """
        lost = self._unanswered("lost the connection before an answer")
        if self._tls is None or line.has_answered:
            return lost
        try:
            connection = self._reach()
        except Unreachable:
            return lost
        try:
            self._wait_for_refusal(connection)
        except Unreachable as refused:
            return refused
        return lost

    def _unanswered(self, what: str) -> Unanswered:
        return Unanswered(
            f"{self._host}:{self._port} {what}; it may have the message: a delivery is sent "
            "again, under its control id"
        )

    def _without_tls(self, tls: Tls, error: OSError) -> Unreachable:
        return Unreachable(f"no TLS with {self._host}:{self._port}: {tls.explain(error)}")


class _Line:
    """An open connection, and what has come over it."""

    def __init__(self, connection: socket.socket, limit_bytes: int) -> None:
        self.connection = connection
        self.deframer = Deframer(limit_bytes)
        """Goes on from one message to the next: an answer nobody waits for may come in parts."""
        self.has_answered = False
        self._limit_bytes = limit_bytes

    def is_quiet(self) -> bool:
        """Whether a message can be sent here: answers nobody waits for are dropped first.

        Not if the receiver has closed, has left an answer half said, or does not end talking.
        """
        left_bytes = self._limit_bytes
        self.connection.settimeout(0)
        try:
            while left_bytes > 0:
                portion = self.connection.recv(_PORTION_BYTES)
                if not portion:
                    return False
                self.deframer.feed(portion)
                left_bytes -= len(portion)
        except (BlockingIOError, ssl.SSLWantReadError):
            return not self.deframer.inside
        except (OSError, MalformedMessage):
            return False
        return False


def _acknowledgement_of(answer: bytes, control_id: str) -> Acknowledgement | None:
    """The answer, when it can be read and is to this control id; any other is discarded."""
    try:
        acknowledgement = read_acknowledgement(answer)
    except MalformedMessage:
        return None
    return acknowledgement if acknowledgement.control_id == control_id else None


def judged(answer: Acknowledgement) -> Acknowledgement:
    """The answer if it is positive. MSA-3 and ERR texts may repeat patient data: never quoted.

    Raises TemporarilyRefused (AE, CE), Refused (AR, CR).
    """
    if answer.code in _ACCEPTED:
        return answer
    said = f"the receiver answered {answer.code.value}"
    if answer.error_code:
        said += f", error {answer.error_code} of HL7 table 0357"
    if answer.code in _ERRORS:
        raise TemporarilyRefused(
            f"{said}; see the receiver's log for the reason: a delivery is tried again"
        )
    raise Refused(
        f"{said}; compare version, message type and processing id of the destination's HL7 profile "
        "with what the receiver expects"
    )
