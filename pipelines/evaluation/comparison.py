"""Rows of scores on the same subjects, compared in pairs, and the shuffle that is their control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Measured, measure

Array = NDArray[np.float64]
SHUFFLE: Final = "one-cycle"
"""Name of how ECGs are shuffled (`derange`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to come to a cine: its score of each subject by name of the measure, (n,) each."""

    name: str
    scores: dict[str, Array]


def derange(count: int, *, seed: int) -> NDArray[np.int64]:
    """(count,) a permutation without a fixed point: one cycle through all, uniformly drawn.

    Source: Sattolo 1986, Inf Process Lett 22:315. Raises ValueError (fewer than two).
    """
    if count < 2:
        raise ValueError("one subject alone cannot be given another's ECG")
    chance = np.random.Generator(np.random.Philox(seed))
    order = np.arange(count)
    for last in range(count - 1, 0, -1):
        other = int(chance.integers(0, last))
        order[[last, other]] = order[[other, last]]
    return order


def mean_of(weights: Array, scores: Array) -> Measured:
    """Mean score; `weights` as of `bootstrap.resamples`, the same for all that is compared."""
    return measure(weights @ scores / weights.sum(axis=1))


def difference_of(weights: Array, better: Array, worse: Array) -> Measured:
    """Mean of the pairs' differences."""
    return mean_of(weights, better - worse)


def share_of(
    weights: Array, reached: tuple[Array, Array], possible: tuple[Array, Array]
) -> Measured:
    """Mean difference reached over the mean difference that is possible, pairs kept together.

    Each is (own, shuffled).
    """
    gained = weights @ (reached[0] - reached[1])
    return measure(gained / (weights @ (possible[0] - possible[1])))


def ratio_of(weights: Array, score: Array, reference: Array) -> Measured:
    """Mean score over mean reference."""
    return measure((weights @ score) / (weights @ reference))


def table(rows: Sequence[Row], weights: Array, *, nuisance: str, region: str) -> str:
    """Mean and interval of every row and measure, as text; what the figures depend on comes first.

    nuisance: name of how scans of one heart differ · region: of the picture.
    """
    measures = list(rows[0].scores)
    wide = max(len(row.name) for row in rows)
    lines = [
        f"n = {weights.shape[1]}, nuisance {nuisance}, {region}, 95 % intervals over subjects",
        " " * wide + "".join(f"  {name:>23}" for name in measures),
    ]
    for row in rows:
        cells = [_cell(mean_of(weights, row.scores[name])) for name in measures]
        lines.append(row.name.ljust(wide) + "".join(f"  {cell:>23}" for cell in cells))
    return "\n".join(lines)


def _cell(figure: Measured) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
