"""How often everything is repeated: to measure, or only to see that it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Counts of one run."""

    starts: int
    """New processes of each kind."""
    answers: int
    """ECGs of a percentile."""
    rounds: int
    """In which peers take turns: noise that comes and goes meets all of them."""
    repeats: int
    """Of a graph, at most; the fastest counts."""
    graph_s: float
    """Time for one graph, after which it is not repeated again."""
    procedures: int
    """Drawings by the published procedure."""
    ecgs: tuple[int, ...]
    """Answered one after the other, to see how the cost grows."""
    growing_s: float
    """A step of `ecgs` that would take longer is left out."""
    compiled: bool
    """Whether torch.compile is measured: it compiles for minutes."""
    published_size: bool
    """Whether graphs of the published size are: exporting them takes minutes the first time."""


FULL: Final = Effort(
    starts=5,
    answers=30,
    rounds=3,
    repeats=40,
    graph_s=4.0,
    procedures=3,
    ecgs=(1, 10, 100, 1000),
    growing_s=240.0,
    compiled=True,
    published_size=True,
)
QUICK: Final = Effort(
    starts=1,
    answers=2,
    rounds=1,
    repeats=3,
    graph_s=0.5,
    procedures=1,
    ecgs=(1, 2),
    growing_s=10.0,
    compiled=False,
    published_size=False,
)
