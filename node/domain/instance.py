"""A SOP instance as it arrived, and where from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who brought the bytes; travels with them."""

    calling_ae: str
    called_ae: str
    peer: str
    """Address of the peer, without the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """One C-STORE, before anything has been read from its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    origin: Origin
    content_digest: str
    """SHA-256 of the data set's bytes as sent."""
    size_bytes: int
    received_at: datetime
    content: bytes = b""
    """PS3.10 file: preamble, file meta information, the data set's bytes as sent."""

    def __repr__(self) -> str:
        return f"ReceivedInstance({self.sop_class_uid}, {self.size_bytes} bytes)"
