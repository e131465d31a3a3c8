"""A RIS stand-in: takes any HL7 message, keeps it in memory, and says so.

For the demonstration and for trying a configuration out; it forgets everything when it ends.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from enum import Enum

from node.domain.errors import StorageError
from node.hl7.acknowledgement import acknowledge
from node.hl7.listener import MllpListener
from node.hl7.message import ErrorCondition, Header

_LIMIT_BYTES = 16_777_216
_IDLE_TIMEOUT_S = 600.0
_MAXIMUM_CONNECTIONS = 50


class Answer(Enum):
    """What a stand-in says to every message, in enhanced mode with C for A."""

    AA = "AA"
    AE = "AE"
    AR = "AR"
    NONE = "none"


def answer_as(answer: Answer, message: bytes, *, at: datetime) -> tuple[bytes, ...]:
    """The acknowledgements of a receiver that says the same to every message that it can read.

    None where the sender wants none of this kind, too.
    """
    if answer is Answer.NONE:
        return ()
    none_taken: frozenset[str] = frozenset()
    return acknowledge(
        message,
        _fail if answer is Answer.AE else _forget,
        at=at,
        accepted_types=none_taken if answer is Answer.AR else None,
    )


def _forget(message: bytes, header: Header) -> ErrorCondition | None:
    """Acknowledged all the same."""
    return None


def _fail(message: bytes, header: Header) -> ErrorCondition | None:
    raise StorageError("a stand-in that was told to fail")


class RisStandIn:
    """An MLLP receiver. `received` maps MSH-10 to the last message with it."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.received: dict[str, bytes] = {}
        self.messages: list[str] = []
        """MSH-10 in the order of arrival, a resend each time."""
        self._address = (host, port)
        self._changed = threading.Condition()
        self._listener: MllpListener | None = None

    def start(self) -> int:
        """Listen; gives the port, which stays the same when started again."""
        host, port = self._address
        listener = MllpListener(
            host,
            port,
            self._answer,
            limit_bytes=_LIMIT_BYTES,
            idle_timeout_s=_IDLE_TIMEOUT_S,
            maximum_connections=_MAXIMUM_CONNECTIONS,
            on_event=lambda message, fields: None,
        )
        listener.start()
        self._listener = listener
        assert listener.port is not None  # one was given
        self._address = (host, listener.port)
        return listener.port

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.stop()
            self._listener = None

    def wait_for(self, count: int, *, timeout_s: float) -> bool:
        """Wait until so many different messages have arrived; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.received) >= count, timeout_s)

    def _answer(self, message: bytes, peer: str) -> tuple[bytes, ...]:
        return acknowledge(message, keep=self._keep, at=datetime.now(UTC))

    def _keep(self, message: bytes, header: Header) -> ErrorCondition | None:
        with self._changed:
            self.received[header.control_id] = message
            self.messages.append(header.control_id)
            self._changed.notify_all()
        return None
