"""What the measured node foretells: its own percentiles, and the hosts that hospitals need."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.load.capacity import Host, waits
from benchmarks.load.carts import PEAK, arrivals
from benchmarks.load.runs import Percentiles, Run, percentiles
from benchmarks.receiving.receivers import NODE
from node.settings import read_settings

HOSPITALS: Final = (1, 10, 100, 1000)
ECGS_A_DAY: Final = 150
"""Of one hospital: assumed, not measured."""
DAY_S: Final = 36_000.0
"""In which they come: the most at noon, none in the night."""
LATE: Final = 2.0
"""Times the answer of a host with nothing else to do: more the 95th percentile may not take."""
_FIGURES: Final = Path(__file__).parents[1] / "receiving.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Of so many hospitals over one day."""

    hospitals: int
    ecgs: int
    peak_a_second: float
    hosts: int
    """The fewest that infer and send with the 95th percentile in time."""
    answer_s: Percentiles
    most_waiting: int
    receiver_share: float
    """Of what one receiving process takes, at the peak."""


def measured_host(quiet: Run, full: Run) -> Host:
    return Host(
        alone_s=quiet.answer_s[0],
        a_second=full.ecgs_a_second,
        at_once=read_settings().model.at_once,
    )


def foretold(run: Run, host: Host) -> Percentiles:
    """What the answers of these very arrivals should take."""
    due_s = sorted(each.due_s for each in run.sent)
    return percentiles(waits(due_s, host, 1))


def needs(host: Host, *, seed: int) -> Iterator[Need]:
    received = _received_a_second()
    for hospitals in HOSPITALS:
        ecgs = hospitals * ECGS_A_DAY
        due_s = arrivals(ecgs / DAY_S, DAY_S, seed=seed, is_morning=True)
        peak = PEAK * ecgs / DAY_S
        hosts = max(1, math.floor(ecgs / DAY_S / host.a_second))  # fewer cannot
        found = waits(due_s, host, hosts)
        while percentiles(found)[1] > LATE * host.alone_s:
            hosts += 1
            found = waits(due_s, host, hosts)
        yield Need(
            hospitals=hospitals, ecgs=len(due_s), peak_a_second=peak, hosts=hosts,
            answer_s=percentiles(found), most_waiting=_most_waiting(due_s, found),
            receiver_share=peak / received,
        )  # fmt: skip


def _most_waiting(due_s: Sequence[float], waited_s: Sequence[float]) -> int:
    ends = np.sort(np.add(due_s, waited_s))
    return int(np.max(np.arange(1, len(due_s) + 1) - np.searchsorted(ends, due_s, side="right")))


def _received_a_second() -> float:
    """The least of what one receiving process has taken over several associations."""
    rates = json.loads(_FIGURES.read_text(encoding="utf-8"))["rates"]
    most = max(each["associations"] for each in rates)
    (ours,) = (each for each in rates if each["receiver"] == NODE and each["associations"] == most)
    return float(min(ours["stored_a_second"]))
