"""Rates and waits of every receiver, in turns, at one and at eight associations."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.processes import AS_INSTALLED, PATIENCE_S, ROOT
from benchmarks.receiving.receivers import NODE, PEERS, Receiver, started

ASSOCIATIONS: Final = (1, 8)
OVER_ORTHANC: Final = 2.0
"""What is aimed at."""
_RUN_NUMBERS: Final = 10_000_000
"""Instances that one run may number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One receiver at one number of associations."""

    receiver: str
    associations: int
    stored_a_second: tuple[float, ...]
    """Of each round."""
    p50_ms: float
    p95_ms: float
    """What the sender waits for the answer to one C-STORE, over all rounds."""
    cpu_ms: float
    """Of the receiver, an instance."""
    driver_cpu_ms: float
    """Of the sender, an instance."""

    @property
    def middle(self) -> float:
        """The median round."""
        return float(np.median(self.stored_a_second))


def over(rates: Sequence[Rate], peer: str, associations: int) -> float:
    """How many times the peer's median rate the node's is."""
    middle = {(each.receiver, each.associations): each.middle for each in rates}
    return middle[NODE, associations] / middle[peer, associations]


def measure_rates(rounds: int, seconds: float, said: Callable[[str], None]) -> tuple[Rate, ...]:
    """All receivers run all the time; they are asked in turns. Raises AssertionError."""
    runs = count(1)
    told: dict[tuple[str, int], list[_Told]] = {}
    with ExitStack() as stack:
        receivers: dict[str, Receiver] = {}
        for name in PEERS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="receiving-")))
            receivers[name] = stack.enter_context(started(name, folder))
            _drive(receivers[name], 1, 0.5, next(runs))  # its first C-STOREs are not counted
        for turn in range(rounds):
            for associations in ASSOCIATIONS:
                for name, receiver in receivers.items():
                    said(f"round {turn + 1}: {name}, {associations} at once")
                    found = _drive(receiver, associations, seconds, next(runs))
                    told.setdefault((name, associations), []).append(found)
    return tuple(_rates(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    stored: int
    seconds: float
    cpu_s: float
    waits_s: tuple[float, ...]
    receiver_cpu_s: float


def _drive(receiver: Receiver, associations: int, seconds: float, run: int) -> _Told:
    before = receiver.cpu_s()
    words = (receiver.port, receiver.called_ae, associations, seconds, run * _RUN_NUMBERS)
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.receiving.driver", *map(str, words)],
        cwd=ROOT, env=AS_INSTALLED, capture_output=True, text=True, check=False,
        timeout=seconds + PATIENCE_S,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told = _Told(**json.loads(found.stdout), receiver_cpu_s=receiver.cpu_s() - before)
    receiver.forget()
    return told


def _rates(told: dict[tuple[str, int], list[_Told]]) -> Iterator[Rate]:
    for (name, associations), rounds in told.items():
        waits = np.concatenate([each.waits_s for each in rounds])
        stored = sum(each.stored for each in rounds)
        yield Rate(
            receiver=name,
            associations=associations,
            stored_a_second=tuple(each.stored / each.seconds for each in rounds),
            p50_ms=1000.0 * float(np.percentile(waits, 50)),
            p95_ms=1000.0 * float(np.percentile(waits, 95)),
            cpu_ms=1000.0 * sum(each.receiver_cpu_s for each in rounds) / stored,
            driver_cpu_ms=1000.0 * sum(each.cpu_s for each in rounds) / stored,
        )
