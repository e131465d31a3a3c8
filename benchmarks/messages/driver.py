"""A RIS that is no bottleneck: its messages are bytes made beforehand, only the numbers change.

    python -m benchmarks.messages.driver PORT CONNECTIONS SECONDS FIRST each|all

Sends new orders over so many connections at once, each waiting for its answer; `each` opens a
connection for every message, `all` keeps it for all.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Final

from benchmarks.messages.load import take_turns

CONTROL_ID: Final = "B{:011d}"
PATIENCE_S: Final = 60.0
_ORDER: Final = (
    "MSH|^~\\&|RIS|HOSPITAL|CARDIONODE|ECG|20261126080000||ORM^O01^ORM_O01|{0}|P|2.5.1\r"
    "PID|1||TEST-{0}^^^HOSPITAL^MR||DOE^JANE^Q||19700102|F|||1 MAIN STREET^^TOWN^^12345\r"
    "PV1|1|I|WARD^12^3|||||||CAR||||||||V{0}\r"
    "ORC|NW|PL{0}^RIS|FI{0}^RAD||SC||||20261126080000|||123^HOUSE^GREGORY\r"
    "OBR|1|PL{0}^RIS|FI{0}^RAD|93000^ECG, 12 leads^C4|||||||||||||A{0}|RP{0}|||||ECG\r"
)


def order(number: int) -> bytes:
    """An imaging order of HL7 v2.5.1, unframed."""
    return _ORDER.format(CONTROL_ID.format(number)).encode("ascii")


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _exchange(connection: socket.socket, number: int) -> None:
    """Raises AssertionError (another answer than AA to this message)."""
    connection.sendall(b"\x0b" + order(number) + b"\x1c\r")
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        portion = connection.recv(65536)
        assert portion, "no answer"
        answer += portion
    assert b"MSA|AA|" + CONTROL_ID.format(number).encode("ascii") in answer, "not acknowledged"


def main(port: int, connections: int, seconds: float, first: int, way: str) -> None:
    if way == "each":

        def carry(number: int) -> None:
            with _connected(port) as connection:
                _exchange(connection, number)

        take_turns([carry] * connections, seconds, first)
        return
    opened = [_connected(port) for _ in range(connections)]
    take_turns([_over(each) for each in opened], seconds, first)
    for connection in opened:
        connection.close()


def _over(connection: socket.socket) -> Callable[[int], None]:
    return lambda number: _exchange(connection, number)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
