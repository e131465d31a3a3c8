"""MLLP framing, without a socket: one block is VT, the message, FS, CR.

UTF-8, ASCII and ISO 8859 never hold the block characters inside a character; UTF-16 may, and is
not carried.
Source: HL7 Transport Specification: MLLP, release 1; HL7 v2.5.1 appendix C.
"""

from __future__ import annotations

from node.domain.errors import MalformedMessage

START = b"\x0b"
END = b"\x1c\r"
_FILE_SEPARATOR = b"\x1c"

OUTSIDE_LIMIT_BYTES = 1024
"""So many bytes between two blocks are skipped as noise; more, and the peer does not speak MLLP."""


def frame(message: bytes) -> bytes:
    """The message as one MLLP block.

    Raises MalformedMessage (the message itself holds a block character).
    """
    if START in message or _FILE_SEPARATOR in message:
        raise MalformedMessage(
            "the message holds an MLLP block character (0x0B or 0x1C); it has to be escaped"
        )
    return START + message + END


class Deframer:
    """Cuts messages out of a stream of bytes, in whatever portions they come.

    Bytes between blocks are skipped. After an error the stream has no meaning any more: close the
    connection.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._inside = False
        self._searched = 0
        self._outside_bytes = 0

    @property
    def inside(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._inside

    def feed(self, portion: bytes) -> list[bytes]:
        """The messages that this portion completes, in order.

        Raises MalformedMessage (longer than the limit; a block that begins inside another; a file
        separator that ends no block; more than OUTSIDE_LIMIT_BYTES between blocks).
        """
        self._buffer += portion
        messages: list[bytes] = []
        while self._enter_block():
            message = self._leave_block()
            if message is None:
                break
            messages.append(message)
        return messages

    def _enter_block(self) -> bool:
        """Skip what is not a block; whether the buffer now begins with a block's content."""
        if self._inside:
            return True
        start = self._buffer.find(START)
        skipped = len(self._buffer) if start < 0 else start
        self._outside_bytes += skipped
        if self._outside_bytes > OUTSIDE_LIMIT_BYTES:
            raise MalformedMessage(
                f"more than {OUTSIDE_LIMIT_BYTES} bytes outside of any MLLP block; "
                "check that the peer speaks MLLP, without TLS"
            )
        if start < 0:
            self._buffer.clear()
            return False
        del self._buffer[: start + 1]
        self._inside, self._searched, self._outside_bytes = True, 0, 0
        return True

    def _leave_block(self) -> bytes | None:
        """The content of the block the buffer begins with, or None while its end is missing."""
        end = self._buffer.find(_FILE_SEPARATOR, self._searched)
        size = len(self._buffer) if end < 0 else end
        if size > self._limit_bytes:
            raise MalformedMessage(
                f"a message longer than the limit of {self._limit_bytes} bytes; "
                "raise the limit if such messages are meant"
            )
        if self._buffer.find(START, self._searched, size) >= 0:
            raise MalformedMessage("an MLLP block began inside another: the first was cut short")
        self._searched = size
        closing = bytes(self._buffer[size : size + len(END)])
        if not END.startswith(closing):
            raise MalformedMessage("a file separator (0x1C) that is not the end of an MLLP block")
        if closing != END:
            return None
        message = bytes(self._buffer[:size])
        del self._buffer[: size + len(END)]
        self._inside = False
        return message
