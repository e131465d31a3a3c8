"""How long things take: a distribution of wall time, or the least CPU time.

Wall time is what a person waits; the least CPU time is what the work costs, whoever else is busy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.effort import Effort

Work = Callable[[], object]
Said = Callable[[str], None]
"""Told what is measured next."""
SETTLE_S = 0.05
"""Before another peer's turn: threads of torch spin on for a while after their work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wall:
    """Seconds of wall time: median, 95th percentile, least, and how many."""

    p50_s: float
    p95_s: float
    least_s: float
    count: int

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Wall:
        taken = np.array(list(seconds))
        return cls(
            p50_s=float(np.percentile(taken, 50)),
            p95_s=float(np.percentile(taken, 95)),
            least_s=float(taken.min()),
            count=len(taken),
        )


def ratio(peer: float, ours: float) -> float:
    """How many times what ours costs the peer costs."""
    return peer / ours


def seconds_of(work: Work) -> float:
    """Wall time of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def take_turns(works: Mapping[str, Callable[[int], object]], effort: Effort) -> dict[str, Wall]:
    """Wall time of each, `effort.answers` calls in `effort.rounds` turns.

    A work is told the number of its call. The first call of a turn is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    each = -(-effort.answers // effort.rounds)
    for turn in range(effort.rounds):
        for name, work in works.items():
            time.sleep(SETTLE_S)
            work(0)
            for call in range(turn * each, (turn + 1) * each):
                began = time.perf_counter()
                work(call)
                taken[name].append(time.perf_counter() - began)
    return {name: Wall.of(seconds) for name, seconds in taken.items()}


def least_cpu(works: Mapping[str, Work], effort: Effort) -> dict[str, float]:
    """The least CPU seconds of one call of each, over calls that take turns.

    CPU of the whole process: a thread that a runtime starts counts too. A first call is not
    counted where there is time for a second.
    """
    least: dict[str, float] = {}
    spent = dict.fromkeys(works, 0.0)
    for repeat in range(effort.repeats + 1):
        for name, work in works.items():
            if spent[name] > effort.graph_s:
                continue
            began = time.process_time()
            work()
            taken = time.process_time() - began
            spent[name] += taken
            first = repeat == 0 and taken <= effort.graph_s
            if not first:
                least[name] = min(taken, least.get(name, taken))
    return least
