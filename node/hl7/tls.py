"""TLS as it is passed in: the node's certificate and whom it trusts are not HL7's own."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """For one direction."""

    context: Callable[[], ssl.SSLContext]
    """That of now, for the next connection."""
    explain: Callable[[OSError], str]
    """Why a handshake failed and what to do."""
