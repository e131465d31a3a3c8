"""How good the numbers are: R2, error, correlation, interval coverage, and baselines beside them.

A true value that is not known (NaN) counts nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def r_squared(predicted: Array, true: Array) -> Array:
    """(P,) coefficient of determination of each column; 1 is perfect, 0 is the mean."""
    every: Array = resampled_r_squared(np.ones((1, len(true))), predicted, true)[0]
    return every


def resampled_r_squared(weights: Array, predicted: Array, true: Array) -> Array:
    """(W, P) R2 of each column for each row of weights (W, n); NaN where nothing varies."""
    known, true = _known(true)
    error = np.where(known > 0.0, predicted - true, 0.0)
    deviation = _centred(known, true)
    with np.errstate(divide="ignore", invalid="ignore"):
        count = weights @ known
        total = weights @ deviation**2 - (weights @ deviation) ** 2 / count
        return np.asarray(1.0 - weights @ error**2 / np.where(total > 0.0, total, np.nan))


def resampled_absolute_error(weights: Array, predicted: Array, true: Array) -> Array:
    """(W, P) mean absolute error."""
    known, true = _known(true)
    error = np.where(known > 0.0, np.abs(predicted - true), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(weights @ error / (weights @ known))


def resampled_correlation(weights: Array, predicted: Array, true: Array) -> Array:
    """(W, P) Pearson's r; NaN where nothing varies."""
    known, true = _known(true)
    x, y = _centred(known, predicted), _centred(known, true)
    with np.errstate(divide="ignore", invalid="ignore"):
        count = weights @ known
        mean_x, mean_y = weights @ x / count, weights @ y / count
        covariance = weights @ (x * y) / count - mean_x * mean_y
        square = (weights @ x**2 / count - mean_x**2) * (weights @ y**2 / count - mean_y**2)
        return np.asarray(covariance / np.sqrt(np.where(square > 0.0, square, np.nan)))


def coverage(predicted: Array, true: Array, half_width: Array) -> Array:
    """(P,) share of true values inside predicted ± half_width, (P,) or (n, P)."""
    every: Array = resampled_coverage(np.ones((1, len(true))), predicted, true, half_width)[0]
    return every


def resampled_coverage(weights: Array, predicted: Array, true: Array, half_width: Array) -> Array:
    """(W, P) of `coverage` for each row of weights (W, n)."""
    known, true = _known(true)
    inside = known * (np.abs(true - predicted) <= half_width)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(weights @ inside / (weights @ known))


def ridge(train: Array, wanted: Array, test: Array, *, penalty: float = 10.0) -> Array:
    """Predictions for `test` of a ridge regression on standardised features.

    A subject without a value (NaN) in one column of `wanted` is left out of that column alone; a
    column without any is NaN.
    """
    mean, scale = train.mean(axis=0), train.std(axis=0) + 1e-9
    x, z = (train - mean) / scale, (test - mean) / scale
    whole = ~np.isnan(wanted).any(axis=0)
    predicted = np.full((len(test), wanted.shape[1]), np.nan)
    if whole.any():
        predicted[:, whole] = _ridge(x, wanted[:, whole], z, penalty)
    for column in np.flatnonzero(~whole & ~np.isnan(wanted).all(axis=0)):
        known = ~np.isnan(wanted[:, column])
        predicted[:, [column]] = _ridge(x[known], wanted[known][:, [column]], z, penalty)
    return predicted


def demographic_features(subject: NDArray[np.float32]) -> Array:
    """(n, 14): age, sex, height, weight, their squares and products."""
    return with_products(subject[:, 1::2].astype(np.float64))


def with_products(values: Array) -> Array:
    """(n, F + F (F + 1) / 2): the values, their squares and products."""
    first, second = np.triu_indices(values.shape[1])
    return np.concatenate([values, values[:, first] * values[:, second]], axis=1)


def _ridge(x: Array, wanted: Array, z: Array, penalty: float) -> Array:
    """x and z: standardised, (n, F) and (m, F)."""
    weights = np.linalg.solve(
        x.T @ x + penalty * np.eye(x.shape[1]), x.T @ (wanted - wanted.mean(axis=0))
    )
    return np.asarray(z @ weights + wanted.mean(axis=0))


def _known(true: Array) -> tuple[Array, Array]:
    """1 where a value is known and 0 elsewhere, and the values with 0 for the unknown."""
    known = ~np.isnan(true)
    return known.astype(np.float64), np.where(known, true, 0.0)


def _centred(known: Array, values: Array) -> Array:
    """Less the mean of the known, 0 for the unknown: sums of squares lose no digits."""
    kept = np.where(known > 0.0, values, 0.0)
    mean = kept.sum(axis=0) / np.maximum(known.sum(axis=0), 1.0)
    return np.asarray(known * (kept - mean))
