"""Carries messages to one HL7 receiver over MLLP, one at a time, and reads its acknowledgements.

Blocking: the delivery workers are threads. The connection stays open between messages.
Source: HL7 v2.5.1 §2.9.2 (original mode), §2.9.3 (enhanced mode).
"""

from __future__ import annotations

import socket
import time
from threading import Lock

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

_ACCEPTED = {AcknowledgementCode.AA, AcknowledgementCode.CA}
_ERRORS = {AcknowledgementCode.AE, AcknowledgementCode.CE}
_PORTION_BYTES = 65536


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
    ) -> None:
        """limit_bytes: of one acknowledgement."""
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._limit_bytes = limit_bytes
        self._turn = Lock()
        self._connection: socket.socket | None = None

    def send(self, content: bytes) -> Acknowledgement:
        """The receiver's AA or CA for this message.

        Raises Unreachable (no connection, nothing was sent), Unanswered (sent, but no answer to
        this control id in time), TemporarilyRefused (AE, CE), Refused (AR, CR), MalformedMessage
        (the content is no message).
        """
        control_id = read_header(content).control_id
        block = frame(content)
        with self._turn:
            connection = self._live_connection()
            try:
                answer = self._exchange(connection, block, control_id)
            except Unanswered:
                # A late answer must never be taken for the next message's.
                self._disconnect()
                raise
        return _judged(answer)

    def probe(self) -> None:
        """Open and close a connection, sending nothing. Raises Unreachable."""
        self._connect().close()

    def close(self) -> None:
        """Close the connection; the next message opens one again."""
        with self._turn:
            self._disconnect()

    def _live_connection(self) -> socket.socket:
        """The kept connection, or a new one when the receiver has closed it meanwhile."""
        if self._connection is not None and _was_closed(self._connection):
            self._disconnect()
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> socket.socket:
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

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(
        self, connection: socket.socket, block: bytes, control_id: str
    ) -> Acknowledgement:
        deadline = time.monotonic() + self._answer_timeout_s
        deframer = Deframer(self._limit_bytes)
        try:
            connection.settimeout(self._answer_timeout_s)
            connection.sendall(block)
            while True:
                # A timeout of 0 would make the socket non-blocking.
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                portion = connection.recv(_PORTION_BYTES)
                if not portion:
                    raise self._unanswered("closed the connection without an answer")
                for answer in deframer.feed(portion):
                    acknowledgement = _acknowledgement_of(answer, control_id)
                    if acknowledgement is not None:
                        return acknowledgement
                if time.monotonic() >= deadline:
                    raise TimeoutError
        except TimeoutError:
            raise self._unanswered(
                f"gave no answer to this message within {self._answer_timeout_s:g} s"
            ) from None
        except OSError:
            raise self._unanswered("lost the connection before an answer") from None
        except MalformedMessage as error:
            raise self._unanswered(f"answered with what is not MLLP: {error}") from None

    def _unanswered(self, what: str) -> Unanswered:
        return Unanswered(
            f"{self._host}:{self._port} {what}; the message is sent again under its control id"
        )


def _was_closed(connection: socket.socket) -> bool:
    """Whether the receiver has closed an idle connection; answers nobody waits for are dropped."""
    connection.settimeout(0)
    try:
        while connection.recv(_PORTION_BYTES):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _acknowledgement_of(answer: bytes, control_id: str) -> Acknowledgement | None:
    """The answer, when it can be read and is to this control id; any other is discarded."""
    try:
        acknowledgement = read_acknowledgement(answer)
    except MalformedMessage:
        return None
    return acknowledgement if acknowledgement.control_id == control_id else None


def _judged(answer: Acknowledgement) -> Acknowledgement:
    """The answer if it is positive. MSA-3 and ERR texts may repeat patient data: never quoted."""
    if answer.code in _ACCEPTED:
        return answer
    said = f"the receiver answered {answer.code.value}"
    if answer.error_code:
        said += f", error {answer.error_code} of HL7 table 0357"
    if answer.code in _ERRORS:
        raise TemporarilyRefused(
            f"{said}; it is tried again, see the receiver's log for the reason"
        )
    raise Refused(
        f"{said}; compare version, message type and processing id of the destination's HL7 profile "
        "with what the receiver expects"
    )
