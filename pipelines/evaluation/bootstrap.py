"""Confidence by resampling subjects: measures that share their resamples can be compared in pairs.

A measure is computed for all rows of `resamples` at once. Row 0 is the sample itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
COUNT: Final = 1000
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A figure and its 95 % confidence interval; NaN where it cannot be computed."""

    value: float
    low: float
    high: float


def resamples(subjects: int, *, seed: int, count: int = COUNT) -> Array:
    """(1 + count, subjects) how often each subject counts: once, then as drawn with replacement."""
    chance = np.random.Generator(np.random.Philox(seed))
    drawn = [
        np.bincount(chance.integers(0, subjects, subjects), minlength=subjects)
        for _ in range(count)
    ]
    return np.stack([np.ones(subjects), *drawn]).astype(np.float64)


def measure(values: Array) -> Measured:
    """Of (1 + count,) values, one for each resample; those that have none are left out."""
    drawn = values[1:][np.isfinite(values[1:])]
    if not drawn.size:
        return Measured(value=float(values[0]), low=np.nan, high=np.nan)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Measured(value=float(values[0]), low=float(low), high=float(high))


def measure_columns(values: Array) -> list[Measured]:
    """Of (1 + count, P)."""
    return [measure(column) for column in values.T]
