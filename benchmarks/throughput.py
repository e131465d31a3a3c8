"""ECGs that wait in a queue: one after the other with all cores each, or several side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from benchmarks.effort import Effort
from benchmarks.shipped import Served
from node.domain.delivery import ResultObject
from node.domain.identifiers import sha256
from node.side_processes import SideProcesses
from node.workflow.ports import here

QUEUE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """A way to work off the queue (`model.threads`, `model.at_once`)."""

    threads: int
    at_once: int
    ecgs_a_second: float
    digest: str
    """Of all result objects, in the order of the ECGs: ways that answer alike have the same."""

    @property
    def name(self) -> str:
        beside = ", composed beside" if self.at_once > 1 else ""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"{self.at_once} at once, {threads}{beside}"


def measure_throughput(ecgs: Sequence[bytes], cores: int, effort: Effort) -> tuple[Throughput, ...]:
    """The first is one at a time with all cores: what the others are held against."""
    queue = ecgs[:QUEUE]
    ways = list(dict.fromkeys([(cores, 1), (1, 1), (1, cores + 1), (cores, cores + 1)]))
    served = {threads: Served.with_threads(threads) for threads, _ in ways}
    side = SideProcesses(cores)
    side.start()
    done = [
        [_work_off(queue, served[threads], at_once, side) for threads, at_once in ways]
        for _ in range(effort.rounds)
    ]
    side.stop()
    return tuple(
        Throughput(
            threads=threads,
            at_once=at_once,
            ecgs_a_second=len(queue) / min(seconds for seconds, _ in rounds),
            digest=rounds[0][1],
        )
        for (threads, at_once), *rounds in zip(ways, *done, strict=True)
    )


def answers(
    queue: Sequence[bytes], served: Served, at_once: int, side: SideProcesses
) -> Iterator[tuple[ResultObject, ...]]:
    """In the order of the queue; with several at once results are composed beside, as in a node."""
    answer = partial(served.answer, run=side if at_once > 1 else here)
    with ThreadPoolExecutor(at_once) as pool:
        yield from pool.map(answer, queue)


def _work_off(
    queue: Sequence[bytes], served: Served, at_once: int, side: SideProcesses
) -> tuple[float, str]:
    """Seconds, and the digest of all that was made."""
    began = time.perf_counter()
    found = list(answers(queue, served, at_once, side))
    seconds = time.perf_counter() - began
    return seconds, sha256(b"".join(made.content for each in found for made in each))
