"""Runs of the carts: one at a time, without a pause, and at shares of what the node bears."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from benchmarks.load.carts import Carts, Sent, arrivals
from benchmarks.load.node_log import NodeLog
from benchmarks.load.watch import Held, Watch

IN_HAND: Final = 8
"""ECGs that a node has which is never to be idle: more than it takes at once."""
QUARTERS: Final = 4
PATIENCE_S: Final = 600.0
"""For what is behind when the carts have ended."""

Percentiles = tuple[float, float, float]
"""50, 95, 99."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came of ECGs that were sent in one way."""

    name: str
    ecgs_a_second: float
    """Sent; without a pause, answered."""
    sent: tuple[Sent, ...]
    answered_s: tuple[float, ...]
    """When each of `sent` had its last result acknowledged by PACS and RIS, of the epoch."""
    held: tuple[Held, ...]

    @property
    def store_ms(self) -> Percentiles:
        """From when a cart wanted to send to the success status."""
        return percentiles(1e3 * (each.acknowledged_s - each.due_s) for each in self.sent)

    @property
    def answer_s(self) -> Percentiles:
        """From when a cart wanted to send to the last acknowledged result."""
        return percentiles(self.waits_s)

    @property
    def waits_s(self) -> list[float]:
        return [at - each.due_s for at, each in zip(self.answered_s, self.sent, strict=True)]

    @property
    def cores(self) -> float:
        """That the node kept busy, on average."""
        first, last = self.held[0], self.held[-1]
        return (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)

    @property
    def most_waiting(self) -> int:
        """ECGs that were due and not answered."""
        changes = [(each.due_s, 1) for each in self.sent] + [(at, -1) for at in self.answered_s]
        return int(np.max(np.cumsum([change for _, change in sorted(changes)])))

    @property
    def quarters(self) -> list[tuple[Percentiles, float, int, int]]:
        """Of its time: answers in s, most memory in MB, most threads, most files."""
        first_s, last_s = self.held[0].at_s, self.sent[-1].due_s
        edges = np.linspace(first_s, last_s + 1e-3, QUARTERS + 1)
        found = []
        for begin_s, end_s in pairwise(edges):
            waits = [
                wait
                for wait, each in zip(self.waits_s, self.sent, strict=True)
                if begin_s <= each.due_s < end_s
            ]
            held = [each for each in self.held if begin_s <= each.at_s < end_s]
            if waits and held:
                found.append((
                    percentiles(waits), max(each.memory_mb for each in held),
                    max(each.threads for each in held), max(each.files for each in held),
                ))  # fmt: skip
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """Loads one node."""

    pid: int
    log: NodeLog
    carts: Carts
    say: Callable[[str], None]

    def one_at_a_time(self, count: int) -> Run:
        """The node has nothing else to do."""
        with Watch(self.pid) as watch:
            began_s = time.monotonic()
            sent, answered = [], []
            for _ in range(count):
                found = self.carts.send([0.0])
                sent += found
                answered += self._answers(found)
            rate = count / (time.monotonic() - began_s)
        return self._told("one at a time", rate, sent, answered, watch)

    def without_pause(self, count: int) -> Run:
        """IN_HAND ECGs at any time, the next sent when one is answered: while it receives.

        `ecgs_a_second` is what the node bears; `count` is more than twice IN_HAND.
        """
        with Watch(self.pid) as watch:
            sent: list[Sent] = []
            while len(sent) < count:
                answered = self.log.answered()
                if sum(each.sop_instance_uid not in answered for each in sent) < IN_HAND:
                    sent += self.carts.send([0.0])  # one: carts know nothing of each other
                time.sleep(0.05)
            ends_s = self._answers(sent)
        busy_s = sorted(ends_s)[IN_HAND - 1 : 1 - IN_HAND]
        rate = (len(busy_s) - 1) / (busy_s[-1] - busy_s[0])
        return self._told("without a pause", rate, sent, ends_s, watch)

    def at(
        self, share: float, capacity: float, seconds: float, *, seed: int, is_morning: bool
    ) -> Run:
        """So much of the capacity, by carts that come when they will."""
        due_s = arrivals(share * capacity, seconds, seed=seed, is_morning=is_morning) or [0.0]
        with Watch(self.pid) as watch:
            sent = self.carts.send(due_s)
            answered = self._answers(sent)
        return self._told(f"{share:.0%}", len(due_s) / seconds, sent, answered, watch)

    def _answers(self, sent: Iterable[Sent]) -> list[float]:
        """When each was answered. Raises AssertionError (not in time: something is lost)."""
        uids = [each.sop_instance_uid for each in sent]
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            answered = self.log.answered()
            if all(uid in answered for uid in uids):
                return [answered[uid] for uid in uids]
            time.sleep(0.2)
        lost = sum(uid not in answered for uid in uids)
        raise AssertionError(f"{lost} acknowledged ECGs are not answered {PATIENCE_S:g} s later")

    def _told(
        self, name: str, rate: float, sent: list[Sent], answered: Sequence[float], watch: Watch
    ) -> Run:
        run = Run(
            name=name, ecgs_a_second=rate, sent=tuple(sent), answered_s=tuple(answered),
            held=tuple(watch.held),
        )  # fmt: skip
        middle, late, latest = run.answer_s
        self.say(
            f"{name}: {len(sent)} ECGs, {rate:.2f} a second; C-STORE p95 {run.store_ms[1]:.0f} ms; "
            f"answered in {middle:.2f}, {late:.2f}, {latest:.2f} s (p50, p95, p99)"
        )
        return run


def percentiles(values: Iterable[float]) -> Percentiles:
    p50, p95, p99 = np.percentile(list(values), (50, 95, 99))
    return float(p50), float(p95), float(p99)
