"""How good the numbers are: R2, error, interval coverage, AUROC, and the baselines beside them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]


def r_squared(predicted: Array, true: Array) -> Array:
    """(P,) coefficient of determination of each column; 1 is perfect, 0 is the mean."""
    residual = ((true - predicted) ** 2).sum(axis=0)
    total = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    return np.asarray(1.0 - residual / total)


def coverage(predicted: Array, true: Array, half_width: Array) -> Array:
    """(P,) share of true values inside predicted ± half_width."""
    return np.asarray((np.abs(true - predicted) <= half_width).mean(axis=0))


def area_under_curve(score: Array, label: NDArray[np.bool_]) -> float:
    """AUROC as the Mann-Whitney statistic; ties count half."""
    ranks = rankdata(score)
    positive = int(label.sum())
    negative = label.size - positive
    return float((ranks[label].sum() - positive * (positive + 1) / 2) / (positive * negative))


def conformal_scale(predicted: Array, true: Array, spread: Array, level: float) -> Array:
    """(P,) factor that makes predicted ± factor * spread hold the share `level` of true values.

    Split conformal prediction: the quantile of the scaled errors with the finite-sample correction.
    """
    scaled = np.sort(np.abs(true - predicted) / spread, axis=0)
    rank = int(np.ceil(level * (scaled.shape[0] + 1))) - 1
    return np.asarray(scaled[min(rank, scaled.shape[0] - 1)])


def ridge(train: Array, wanted: Array, test: Array, *, penalty: float = 10.0) -> Array:
    """Predictions for `test` of a ridge regression on standardised features."""
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-9
    x, z = (train - mean) / scale, (test - mean) / scale
    weights = np.linalg.solve(
        x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (wanted - wanted.mean(axis=0))
    )
    return np.asarray(z @ weights + wanted.mean(axis=0))


def demographic_features(subject: NDArray[np.float32]) -> Array:
    """(n, 14): age, sex, height, weight, their squares and products."""
    values = subject[:, 1::2].astype(np.float64)
    pairs = [values[:, i] * values[:, j] for i in range(4) for j in range(i, 4)]
    return np.concatenate([values, np.stack(pairs, axis=1)], axis=1)
