"""Receives HL7 messages over MLLP and answers each one after its handler has made it durable."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from threading import Thread
from typing import Final

from node.domain.errors import CardioNodeError, ConfigurationError, MalformedMessage
from node.hl7.connection import Connection
from node.hl7.mllp import Deframer, frame
from node.hl7.tls import Tls

Handler = Callable[[bytes, str], Sequence[bytes]]
"""Message and peer address -> the acknowledgements to send, in order."""
OnEvent = Callable[[str, dict[str, object]], None]
"""Constant lower-case text and fields, never anything of a message."""

_HANDLERS_AT_ONCE: Final = 8
_BACKLOG: Final = 128
_LOOK_AGAIN_S: Final = 0.1
_TLS_HANDSHAKE: Final = b"\x16\x03"
"""Content type and major version, where a block has its start. Source: RFC 8446 §5.1."""


@dataclass(slots=True, kw_only=True)
class _Entrance:
    """A port, open or not yet."""

    key: str
    port: int
    tls: Tls | None
    listening: socket.socket | None = None


class MllpListener:
    """An MLLP server with an event loop in a thread of its own."""

    def __init__(
        self,
        host: str,
        port: int | None,
        handler: Handler,
        *,
        limit_bytes: int,
        idle_timeout_s: float,
        maximum_connections: int,
        on_event: OnEvent,
        tls_port: int | None = None,
        tls: Tls | None = None,
        handshake_timeout_s: float = 15.0,
        networks: Sequence[IPv4Network | IPv6Network] | None = None,
    ) -> None:
        """port and tls_port: 0 takes a free one, None is not to listen there.

        idle_timeout_s bounds the wait for a message to begin, and then for it to end.
        maximum_connections: of both ports; one that shakes hands counts. networks: who may call;
        None is everybody.
        """
        self._host = host
        self._entrances: list[_Entrance] = []
        if port is not None:
            self._entrances.append(_Entrance(key="hl7.port", port=port, tls=None))
        if tls_port is not None:
            self._entrances.append(_Entrance(key="hl7.tls_port", port=tls_port, tls=tls))
        self._handler = handler
        self._limit_bytes = limit_bytes
        self._idle_timeout_s = idle_timeout_s
        self._handshake_timeout_s = handshake_timeout_s
        self._maximum_connections = maximum_connections
        self._networks = networks
        self._on_event = on_event
        self._loop = asyncio.new_event_loop()
        self._handlers = ThreadPoolExecutor(_HANDLERS_AT_ONCE, thread_name_prefix="hl7-handler")
        self._thread = Thread(target=self._loop.run_forever, name="hl7-listener", daemon=True)
        self._connections: dict[asyncio.Task[None], bool] = {}
        """Each connection's task, and whether a message of it is being handled."""
        self._stopping = False

    @property
    def port(self) -> int | None:
        """The port without TLS: the one given, the one taken for 0, or None."""
        return self._port_of("hl7.port")

    @property
    def tls_port(self) -> int | None:
        """The port with TLS, likewise."""
        return self._port_of("hl7.tls_port")

    def start(self) -> None:
        """Listen; connections are accepted when this returns.

        Raises ConfigurationError (address or port cannot be had).
        """
        try:
            for entrance in self._entrances:
                self._open(entrance)
        except ConfigurationError:
            self.stop()
            raise
        self._thread.start()
        for entrance in self._entrances:
            self._loop.call_soon_threadsafe(self._attend, entrance)

    def stop(self, *, grace_s: float = 5.0) -> None:
        """Stop accepting, let messages that are being handled be answered, close everything.

        Returns within about grace_s; a message not answered by then is the sender's to repeat.
        """
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._wind_down(grace_s), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        for entrance in self._entrances:
            if entrance.listening is not None:
                entrance.listening.close()
        self._handlers.shutdown(wait=False, cancel_futures=True)
        self._loop.close()

    def _port_of(self, key: str) -> int | None:
        return next((each.port for each in self._entrances if each.key == key), None)

    def _open(self, entrance: _Entrance) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server(
                (self._host, entrance.port), family=family, backlog=_BACKLOG
            )
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen for HL7 on {self._host} port {entrance.port}: {error.strerror}; "
                f"free it or change {entrance.key}"
            ) from error
        listening.setblocking(False)
        entrance.listening = listening
        entrance.port = listening.getsockname()[1]

    def _attend(self, entrance: _Entrance) -> None:
        if entrance.listening is not None and not self._stopping:
            self._loop.add_reader(entrance.listening, self._accept, entrance, entrance.listening)

    def _accept(self, entrance: _Entrance, listening: socket.socket) -> None:
        try:
            connected, address = listening.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # no file descriptors left: some will be given back
            reason = error.strerror or "the connection failed"
            self._on_event("hl7 connection not taken", {"reason": reason})
            self._loop.remove_reader(listening)
            self._loop.call_later(_LOOK_AGAIN_S, self._attend, entrance)
            return
        connection = Connection(connected, str(address[0]))
        if not self._may_call(connection.peer):
            self._on_event("hl7 connection refused: address not allowed", {"peer": connection.peer})
            connection.close()
            return
        if len(self._connections) >= self._maximum_connections:
            self._on_event("hl7 connection refused: too many", {"peer": connection.peer})
            connection.close()
            return
        task = self._loop.create_task(self._converse(connection, entrance.tls))
        self._connections[task] = False

    def _may_call(self, peer: str) -> bool:
        address = ip_address(peer)
        return self._networks is None or any(address in network for network in self._networks)

    async def _wind_down(self, grace_s: float) -> None:
        self._stopping = True
        for entrance in self._entrances:
            if entrance.listening is not None:
                self._loop.remove_reader(entrance.listening)
        await asyncio.sleep(0)  # who was just let in begins, so as to close the connection
        for connection, busy in self._connections.items():
            if not busy:
                connection.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_s)
        remaining = list(self._connections)
        for connection in remaining:
            connection.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    async def _converse(self, connection: Connection, tls: Tls | None) -> None:
        """One connection, from accept to close: its outermost boundary."""
        peer = connection.peer
        task = asyncio.current_task()
        assert task is not None  # a coroutine that runs is a task
        try:
            if tls is None or await self._is_let_in(connection, tls):
                await self._answer_all(connection, task)
        except TimeoutError:
            self._on_event("hl7 connection closed: idle or too slow", {"peer": peer})
        except MalformedMessage as error:
            self._on_event("hl7 connection closed: not a message", _told(peer, error))
        except CardioNodeError as error:
            self._on_event("hl7 message not answered", _told(peer, error))
        except OSError:
            self._on_event("hl7 connection lost", {"peer": peer})
        except asyncio.CancelledError:
            pass  # stop() asked for it
        except Exception as error:
            # Failing closed: no acknowledgement, so the sender repeats the message.
            # Its text is foreign and may quote the message: only its class is told.
            self._on_event("hl7 handler failed", {"peer": peer, "reason": type(error).__name__})
        finally:
            self._connections.pop(task, None)
            connection.close()

    async def _is_let_in(self, connection: Connection, tls: Tls) -> bool:
        """Whether the peer shows a certificate that is trusted; if it does not, that is told."""
        try:
            async with asyncio.timeout(self._handshake_timeout_s):
                return await connection.shake_hands(tls.context())
        except OSError as error:
            told: dict[str, object] = {"peer": connection.peer, "reason": tls.explain(error)}
            self._on_event("hl7 connection refused: no TLS", told)
            await connection.turn_away()
            return False

    async def _answer_all(self, connection: Connection, task: asyncio.Task[None]) -> None:
        deframer = Deframer(self._limit_bytes)
        is_first = True
        deadline = self._loop.time() + self._idle_timeout_s
        while not self._stopping:
            was_inside = deframer.inside
            async with asyncio.timeout_at(deadline):
                portion = await connection.read()
            if not portion:
                return
            if is_first and portion.startswith(_TLS_HANDSHAKE):
                raise MalformedMessage(
                    "the peer speaks TLS, and this port does not: have it call hl7.tls_port, or "
                    "turn TLS off there"
                )
            is_first = False
            messages = deframer.feed(portion)
            self._connections[task] = True
            for message in messages:
                await self._answer(connection, message)
            self._connections[task] = False
            if messages or (deframer.inside and not was_inside):
                deadline = self._loop.time() + self._idle_timeout_s

    async def _answer(self, connection: Connection, message: bytes) -> None:
        answers = await self._loop.run_in_executor(
            self._handlers, self._handler, message, connection.peer
        )
        for answer in answers:
            async with asyncio.timeout(self._idle_timeout_s):
                await connection.write(frame(answer))


def _told(peer: str, error: CardioNodeError) -> dict[str, object]:
    return {"peer": peer, "error_code": error.code, "reason": error.message}
