"""A connection to the web server that nobody can keep for nothing.

uvicorn waits without end for a request that has begun, or never comes, and counts no connection
that shakes hands.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_WITHIN_S: Final = 10.0
_HANDSHAKE_WITHIN_S: Final = 10.0
_CONNECTIONS: Final = 256
_HANDSHAKES: Final = 64


class BoundedConnection(H11Protocol):
    """Ends when the head of a request is not here in time; one too many ends at once."""

    _deadline: asyncio.TimerHandle | None = None
    _is_here: bool = False
    _early: bytes = b""
    """What came with the end of a handshake, before the connection was handed over."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_here = True
        if len(self.connections) > _CONNECTIONS:
            transport.abort()
            return
        self._wait_for_head()
        if self._early:
            self.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        if not self._is_here:
            self._early += data
            return
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._wait_for_head()
        super().on_response_complete()

    def _wait_for_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(_HEAD_WITHIN_S, self._give_up)

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


class Handshake(asyncio.Protocol):
    """A connection to the port with TLS, until it has shaken hands and is another's."""

    def __init__(
        self,
        under_way: set[asyncio.Task[None]],
        tls: Callable[[], ssl.SSLContext],
        make: Callable[[], asyncio.Protocol],
    ) -> None:
        """under_way: those of the port. tls: the context of now. make: what it becomes."""
        self._under_way = under_way
        self._tls = tls
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._under_way) >= _HANDSHAKES:
            transport.abort()
            return
        transport.pause_reading()  # what comes is for TLS
        task = asyncio.get_running_loop().create_task(self._shake_hands(transport))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        protocol = self._make()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                protocol,
                self._tls(),
                server_side=True,
                ssl_handshake_timeout=_HANDSHAKE_WITHIN_S,
            )
        except OSError:  # of TLS too
            transport.abort()
            return
        if secured is not None:
            protocol.connection_made(secured)
