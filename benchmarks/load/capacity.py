"""How long ECGs wait where many hospitals share some hosts: a simulation of measured hosts."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One that infers and sends, by three measured figures."""

    alone_s: float
    """From the C-STORE to the last acknowledged result, where it has no other ECG."""
    a_second: float
    """ECGs it answers when it has as many as it takes."""
    at_once: int
    """ECGs in hand: they share its processor evenly, the others wait."""

    def speed(self, in_hand: int) -> float:
        """ECGs a second that each of so many comes forward."""
        return min(1 / self.alone_s, self.a_second / in_hand)


@dataclass(slots=True)
class _Busy:
    """A host at a moment."""

    since_s: float = 0.0
    left: dict[int, float] = field(default_factory=dict)
    """Share of its answer that each ECG in hand still lacks."""
    turn: int = 0
    """Counts its changes: an end that was foreseen before one does not come."""


def waits(arrivals_s: Sequence[float], host: Host, hosts: int) -> list[float]:
    """Seconds from arrival to answer of each ECG, which any host that has room takes up.

    arrivals_s: ascending. First come, first served; of the hosts the one with the fewest in hand.
    """
    found = [0.0] * len(arrivals_s)
    busy = [_Busy() for _ in range(hosts)]
    waiting: deque[int] = deque()
    ends: list[tuple[float, int, int]] = []
    """When, of which host, foreseen in which of its turns."""

    def go_on(number: int, now_s: float) -> None:
        """Bring a host to this moment."""
        each = busy[number]
        if each.left:
            done = (now_s - each.since_s) * host.speed(len(each.left))
            each.left = {ecg: left - done for ecg, left in each.left.items()}
        each.since_s = now_s

    def foresee(number: int) -> None:
        each = busy[number]
        each.turn += 1
        if each.left:
            needs_s = max(0.0, min(each.left.values())) / host.speed(len(each.left))
            heapq.heappush(ends, (each.since_s + needs_s, number, each.turn))

    def take(number: int, ecg: int, now_s: float) -> None:
        go_on(number, now_s)
        busy[number].left[ecg] = 1.0
        foresee(number)

    def end_until(now_s: float) -> None:
        while ends and ends[0][0] <= now_s:
            at_s, number, turn = heapq.heappop(ends)
            if turn != busy[number].turn:
                continue
            go_on(number, at_s)
            left = busy[number].left
            ecg = min(left, key=left.__getitem__)
            del left[ecg]
            found[ecg] = at_s - arrivals_s[ecg]
            if waiting:
                left[waiting.popleft()] = 1.0
            foresee(number)

    for ecg, now_s in enumerate(arrivals_s):
        end_until(now_s)
        number = min(range(hosts), key=lambda each: len(busy[each].left))
        if len(busy[number].left) < host.at_once:
            take(number, ecg, now_s)
        else:
            waiting.append(ecg)
    end_until(float("inf"))
    return found
