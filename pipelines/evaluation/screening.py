"""How good disease screens are: AUROC, average precision, and whether probabilities are true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.bootstrap import Measured, measure, resamples

Array = NDArray[np.float64]
Labels = NDArray[np.bool_]
BINS: Final = 10
NORMAL_975: Final = 1.959964
"""Of the standard normal distribution, for an interval of 95 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Subjects of like probability; `observed` with Wilson's 95 % interval."""

    count: int
    predicted: float
    observed: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """One disease on subjects at their true prevalence."""

    subjects: int
    positives: int
    auroc: Measured
    average_precision: Measured
    """Area under the precision-recall curve; chance is the prevalence."""
    mean_probability: float
    calibration_error: float
    """Mean over subjects of the distance of their bin's predicted and observed share."""
    brier: float
    bins: tuple[CalibrationBin, ...]


def screen(probability: Array, label: Labels, *, seed: int) -> Screening:
    """Of (n,) subjects."""
    weights = resamples(len(label), seed=seed)
    bins = calibration_bins(probability, label)
    gaps = [each.count * abs(each.predicted - each.observed.value) for each in bins]
    return Screening(
        subjects=len(label),
        positives=int(label.sum()),
        auroc=measure(resampled_auroc(weights, probability, label)),
        average_precision=measure(resampled_average_precision(weights, probability, label)),
        mean_probability=float(probability.mean()),
        calibration_error=sum(gaps) / len(label),
        brier=float(np.mean((probability - label) ** 2)),
        bins=bins,
    )


def resampled_auroc(weights: Array, score: Array, label: Labels) -> Array:
    """(W,) share of pairs in order, ties half, for each row of weights (W, n).

    NaN where one class is missing.
    """
    hits, alarms = _cumulated(weights, score, label)
    sooner = np.diff(alarms, axis=1) * (hits[:, :-1] + hits[:, 1:]) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sooner.sum(axis=1) / (hits[:, -1] * alarms[:, -1]))


def resampled_average_precision(weights: Array, score: Array, label: Labels) -> Array:
    """(W,) sum over thresholds of precision times what recall gains; NaN without positives."""
    hits, alarms = _cumulated(weights, score, label)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.nan_to_num(hits[:, 1:] / (hits[:, 1:] + alarms[:, 1:]))
        return np.asarray((np.diff(hits, axis=1) * precision).sum(axis=1) / hits[:, -1])


def calibration_bins(probability: Array, label: Labels) -> tuple[CalibrationBin, ...]:
    """Subjects in order of probability, in ten bins of equal size."""
    parts = np.array_split(np.argsort(probability, kind="stable"), min(BINS, len(label)))
    return tuple(
        CalibrationBin(
            count=len(part),
            predicted=float(probability[part].mean()),
            observed=_wilson(int(label[part].sum()), len(part)),
        )
        for part in parts
    )


def _cumulated(weights: Array, score: Array, label: Labels) -> tuple[Array, Array]:
    """(W, 1 + G) true and false positives above each of G thresholds, from none to all."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0.0, True))  # of each run of ties
    sorted_weights, positive = weights[:, order], label[order]
    start = np.zeros((len(weights), 1))
    hits = np.cumsum(sorted_weights * positive, axis=1)[:, last]
    alarms = np.cumsum(sorted_weights * ~positive, axis=1)[:, last]
    return np.concatenate([start, hits], axis=1), np.concatenate([start, alarms], axis=1)


def _wilson(positives: int, count: int) -> Measured:
    """Source: Wilson 1927, J Am Stat Assoc 22:209."""
    share, z2 = positives / count, NORMAL_975**2 / count
    middle = (share + z2 / 2.0) / (1.0 + z2)
    half = np.sqrt(z2 * (share * (1.0 - share) + z2 / 4.0)) / (1.0 + z2)
    return Measured(value=share, low=float(middle - half), high=float(middle + half))
