"""A connection that was taken, read and written from the event loop, with TLS or without.

asyncio's own TLS never sends the alert that tells a caller why it is refused, and cannot change its
certificate between connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

_PORTION_BYTES: Final = 65536
_LINGER_S: Final = 1.0
Given = TypeVar("Given")


class Connection:
    """Used by one task at a time, which bounds what it waits for."""

    def __init__(self, connected: socket.socket, peer: str) -> None:
        """It is closed with this. peer: its address."""
        connected.setblocking(False)
        # An application's answer must not wait until the accept answer before it is acknowledged.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._is_secure = False
        self.peer = peer

    async def shake_hands(self, context: ssl.SSLContext) -> bool:
        """Begin TLS; False when the peer is gone without having sent anything, as watchdogs do.

        Raises OSError when the peer is not let in, or does not let us.
        """
        try:
            if not await self._when_ready(partial(self._socket.recv, 1, socket.MSG_PEEK)):
                return False
        except ConnectionError:
            return False
        secured = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = secured
        await self._when_ready(secured.do_handshake)
        self._is_secure = True
        return True

    async def read(self) -> bytes:
        """What came, at least a byte; nothing when the peer has ended. Raises OSError."""
        return await self._when_ready(partial(self._socket.recv, _PORTION_BYTES))

    async def write(self, content: bytes) -> None:
        """Returns when the system has taken all of it. Raises OSError."""
        rest = memoryview(content)
        while rest:
            sent = await self._when_ready(partial(self._socket.send, rest), writes=True)
            rest = rest[sent:]

    async def turn_away(self) -> None:
        """Say no more, and give the peer a second to read why.

        Closing over bytes that were not read resets the connection, and the alert may then not
        arrive.
        """
        with contextlib.suppress(OSError):
            async with asyncio.timeout(_LINGER_S):
                self._socket.shutdown(socket.SHUT_WR)  # from here on what comes is not decrypted
                while await self.read():
                    pass

    def close(self) -> None:
        if self._is_secure and isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                self._socket.unwrap()  # says so to the peer, and waits for nothing
        self._socket.close()

    async def _when_ready(self, attempt: Callable[[], Given], *, writes: bool = False) -> Given:
        while True:
            await asyncio.sleep(0)  # whoever always has more to say must not keep the loop
            try:
                return attempt()
            except ssl.SSLWantReadError:
                await self._wait(writable=False)
            except ssl.SSLWantWriteError:
                await self._wait(writable=True)
            except BlockingIOError:
                await self._wait(writable=writes)

    async def _wait(self, *, writable: bool) -> None:
        loop = asyncio.get_running_loop()
        add, remove = loop.add_reader, loop.remove_reader
        if writable:
            add, remove = loop.add_writer, loop.remove_writer
        ready: asyncio.Future[None] = loop.create_future()
        add(self._socket, _fulfil, ready)
        try:
            await ready
        finally:
            remove(self._socket)


def _fulfil(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
