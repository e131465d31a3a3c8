"""Receivers to compare with, each as its documentation has it, in a process of its own.

    python -m benchmarks.messages.peers python-hl7|hl7apy|plain

Prints its port, ends when its input does. `plain` is what senders send to: it looks for MSH-10
alone.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import Protocol, Transport
from threading import Thread
from typing import Any, Final

from hl7.mllp import start_hl7_server
from hl7apy.core import Message
from hl7apy.mllp import AbstractHandler, MLLPRequestHandler, MLLPServer
from hl7apy.parser import parse_message

_ANSWER: Final = b"\x0bMSH|^~\\&|RIS||||20261126080000||ACK|1|P|2.5.1\rMSA|AA|%b\r\x1c\r"


async def _answer_all(reader: Any, writer: Any) -> None:
    """python-hl7: its reader parses the message, which makes the answer."""
    try:
        while True:
            message = await reader.readmessage()
            writer.writemessage(message.create_ack())
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _serve_python_hl7() -> None:
    # asyncio sets TCP_NODELAY itself.
    server = await start_hl7_server(_answer_all, "127.0.0.1", 0)
    _tell(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(sys.stdin.read)


class _Plain(Protocol):
    """Answers AA to every block."""

    def connection_made(self, transport: Any) -> None:
        self._transport: Transport = transport
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._received.endswith(b"\x1c\r"):
            self._transport.write(_ANSWER % self._received.split(b"|", 10)[9])
            self._received.clear()


async def _serve_plain() -> None:
    server = await asyncio.get_running_loop().create_server(_Plain, "127.0.0.1", 0)
    _tell(server.sockets[0].getsockname()[1])
    await asyncio.to_thread(sys.stdin.read)


class _Acknowledge(AbstractHandler):  # type: ignore[misc]
    """hl7apy: the message is parsed, the answer made of its header."""

    def reply(self) -> str:
        asked = parse_message(self.incoming_message, find_groups=False)
        answer = Message("ACK", version="2.5.1")
        answer.msh.msh_9 = "ACK^O01^ACK"
        answer.msh.msh_10 = asked.msh.msh_10.to_er7()
        answer.msh.msh_11 = "P"
        answer.msa.msa_1 = "AA"
        answer.msa.msa_2 = asked.msh.msh_10.to_er7()
        told: str = answer.to_mllp()
        return told


class _AtOnce(MLLPRequestHandler):  # type: ignore[misc]
    disable_nagle_algorithm = True


def _serve_hl7apy() -> None:
    handlers = {"ORM^O01^ORM_O01": (_Acknowledge,)}
    server = MLLPServer("127.0.0.1", 0, handlers, request_handler_class=_AtOnce)
    Thread(target=server.serve_forever, daemon=True).start()
    _tell(server.server_address[1])
    sys.stdin.read()


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1]:
        case "python-hl7":
            asyncio.run(_serve_python_hl7())
        case "hl7apy":
            _serve_hl7apy()
        case _:
            asyncio.run(_serve_plain())
