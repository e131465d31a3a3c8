"""Rates and waits of every receiver and sender, in turns, at one and at eight connections."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.machine import cpu_s

CONNECTIONS: Final = (1, 8)
NODE: Final = "cardionode"
RECEIVERS: Final = {
    NODE: "The bytes and their folder entry are synced, the order is read and listed, the database "
    "has committed and synced. The connection is kept.",
    "python-hl7": "The message is parsed. Nothing is kept. The connection is kept.",
    "hl7apy": "The message is parsed. Nothing is kept. A connection for every message, which its "
    "server closes after the answer.",
}
"""What each has done before it answers AA."""
SENDERS: Final = {
    NODE: "Waits for an answer to this MSH-10, whole, and reads what it says; sends only on a "
    "connection on which nothing is left over.",
    "python-hl7": "Gives the caller the first bytes that come, unread: they may be another "
    "message's answer, or half of one.",
}
"""What each has seen before it goes on."""
_ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 60.0
_SINK: Final = "plain"
"""What senders send to."""
_RUN_NUMBERS: Final = 10_000_000
"""Messages that one run may number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One receiver, or sender, at one number of connections."""

    name: str
    is_sender: bool
    connections: int
    a_second: tuple[float, ...]
    """Messages acknowledged in each round."""
    p50_ms: float
    p95_ms: float
    """What a message waits for its answer, over all rounds."""
    sender_cpu_ms: float
    receiver_cpu_ms: float
    """A message."""

    @property
    def middle(self) -> float:
        """The median round."""
        return float(np.median(self.a_second))


def over(rates: Sequence[Rate], peer: Rate) -> float:
    """How many times the peer's median rate the node's is."""
    (node,) = (
        each
        for each in rates
        if (each.name, each.is_sender, each.connections) == (NODE, peer.is_sender, peer.connections)
    )
    return node.middle / peer.middle


def measure_rates(rounds: int, seconds: float, said: Callable[[str], None]) -> tuple[Rate, ...]:
    """All receivers run all the time; they are asked in turns. Raises AssertionError."""
    runs = count(1)
    told: dict[tuple[str, bool, int], list[_Told]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="messages-")))
        receivers = {
            name: stack.enter_context(_started(name, folder)) for name in (*RECEIVERS, _SINK)
        }
        ways = [(name, False) for name in RECEIVERS] + [(name, True) for name in SENDERS]
        for name, is_sender in ways:  # its first messages are not counted
            _carry(receivers, name, is_sender, 1, min(seconds, 0.5), next(runs))
        for turn in range(rounds):
            for connections in CONNECTIONS:
                for name, is_sender in ways:
                    said(
                        f"round {turn + 1}: {name} {'sends' if is_sender else 'receives'}, "
                        f"{connections} at once"
                    )
                    found = _carry(receivers, name, is_sender, connections, seconds, next(runs))
                    told.setdefault((name, is_sender, connections), []).append(found)
    return tuple(_rates(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    carried: int
    seconds: float
    cpu_s: float
    waits_s: tuple[float, ...]
    receiver_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Receiver:
    port: int
    pid: int


@contextmanager
def _started(name: str, folder: Path) -> Iterator[_Receiver]:
    """Listening on loopback, until the block ends. Raises AssertionError (it does not start)."""
    words = ["node_receiver", str(folder)] if name == NODE else ["peers", name]
    words = [sys.executable, "-m", f"benchmarks.messages.{words[0]}", words[1]]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            words, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=log, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        port = process.stdout.readline()
        assert port, f"{name} did not start: {(folder / f'{name}.log').read_text()[-2000:]}"
        yield _Receiver(port=int(port), pid=process.pid)
    finally:
        process.terminate()
        process.communicate(timeout=_PATIENCE_S)


def _carry(
    receivers: dict[str, _Receiver],
    name: str,
    is_sender: bool,
    connections: int,
    seconds: float,
    run: int,
) -> _Told:
    receiver = receivers[_SINK if is_sender else name]
    load = [str(receiver.port), str(connections), str(seconds), str(run * _RUN_NUMBERS)]
    if is_sender:
        words = ["benchmarks.messages.sending", name, *load]
    else:
        words = ["benchmarks.messages.driver", *load, "each" if name == "hl7apy" else "all"]
    before = cpu_s(receiver.pid)
    found = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=_ROOT, capture_output=True, text=True, check=False,
        timeout=seconds + _PATIENCE_S,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return _Told(**json.loads(found.stdout), receiver_cpu_s=cpu_s(receiver.pid) - before)


def _rates(told: dict[tuple[str, bool, int], list[_Told]]) -> Iterator[Rate]:
    for (name, is_sender, connections), rounds in told.items():
        waits = np.concatenate([each.waits_s for each in rounds])
        carried = sum(each.carried for each in rounds)
        yield Rate(
            name=name,
            is_sender=is_sender,
            connections=connections,
            a_second=tuple(each.carried / each.seconds for each in rounds),
            p50_ms=1000.0 * float(np.percentile(waits, 50)),
            p95_ms=1000.0 * float(np.percentile(waits, 95)),
            sender_cpu_ms=1000.0 * sum(each.cpu_s for each in rounds) / carried,
            receiver_cpu_ms=1000.0 * sum(each.receiver_cpu_s for each in rounds) / carried,
        )
