"""Results sent to one receiver, by the node's sender or python-hl7's client.

python -m benchmarks.messages.sending cardionode|python-hl7 PORT CONNECTIONS SECONDS FIRST
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Final

from hl7.client import MLLPClient

from benchmarks.messages.driver import CONTROL_ID
from benchmarks.messages.load import take_turns
from node.hl7.sender import Hl7Sender

_OBSERVATIONS: Final = 100
_HEAD: Final = (
    "MSH|^~\\&|CARDIONODE||||20261126080000||ORU^R01^ORU_R01|{}|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||TEST-1^^^HOSPITAL^MR||DOE^JANE^Q||19700102|F\rPV1||U\rORC|RE|PL1^RIS\r"
    "OBR|1|PL1^RIS|FI1^RAD|93000^ECG, 12 leads^C4|||20261126080000|||||||||||A1|RP1|||"
    "20261126080000||CUS|F\r"
)
_TAIL: Final = "".join(
    f"OBX|{number}|NM|8806-2^LV ejection fraction^LN^24103^LVEF^99CARDIONODE|{number}.1|57.0|"
    "%^percent^UCUM|||||F|||20261126080000\r"
    for number in range(1, _OBSERVATIONS + 1)
)


def result(number: int) -> bytes:
    """An ORU of HL7 v2.5.1 of the size of the node's, unframed."""
    return (_HEAD.format(CONTROL_ID.format(number)) + _TAIL).encode("ascii")


def main(name: str, port: int, connections: int, seconds: float, first: int) -> None:
    make = {"cardionode": _node, "python-hl7": _python_hl7}[name]
    take_turns([make(port) for _ in range(connections)], seconds, first)


def _node(port: int) -> Callable[[int], None]:
    sender = Hl7Sender("127.0.0.1", port)

    def carry(number: int) -> None:
        sender.send(result(number))

    return carry


def _python_hl7(port: int) -> Callable[[int], None]:
    """What it gives back is what it received, which it does not look at."""
    client = MLLPClient("127.0.0.1", port)
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def carry(number: int) -> None:
        assert client.send_message(result(number)), "no answer"

    return carry


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
