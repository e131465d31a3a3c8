"""Disease screens and their confidence: figures that can be reckoned by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.bootstrap import measure, resamples
from pipelines.evaluation.screening import (
    calibration_bins,
    resampled_auroc,
    resampled_average_precision,
    screen,
)

LABEL = np.array([False, False, True, True])


def test_auroc_is_the_share_of_pairs_in_order_and_ties_count_half() -> None:
    every = np.ones((1, 4))
    found = resampled_auroc(every, np.array([1.0, 2.0, 2.0, 3.0]), LABEL)
    assert found[0] == pytest.approx(0.875)
    assert resampled_auroc(every, np.array([4.0, 3.0, 2.0, 1.0]), LABEL)[0] == pytest.approx(0.0)


def test_average_precision_sums_precision_over_what_recall_gains() -> None:
    """In order of score: hit (1/1), miss, hit (2/3), miss."""
    score, label = np.array([4.0, 3.0, 2.0, 1.0]), np.array([True, False, True, False])
    found = resampled_average_precision(np.ones((1, 4)), score, label)
    assert found[0] == pytest.approx((1.0 + 2.0 / 3.0) / 2.0)


def test_an_observed_share_has_wilson_s_interval() -> None:
    """5 of 10: 0.5 ± 0.2634 (Wilson 1927)."""
    chance = np.full(100, 0.5)
    label = np.tile([True, False], 50)
    first = calibration_bins(chance, label)[0]
    assert first.count == 10
    assert first.observed.low == pytest.approx(0.2366, abs=1e-4)
    assert first.observed.high == pytest.approx(0.7634, abs=1e-4)


def test_true_probabilities_are_calibrated_and_doubled_ones_are_not() -> None:
    chance = np.random.Generator(np.random.Philox(1))
    probability = chance.random(4_000) * 0.5
    label = chance.random(4_000) < probability
    assert screen(probability, label, seed=1).calibration_error < 0.03
    assert screen(2.0 * probability, label, seed=1).calibration_error > 0.2


def test_a_bootstrap_interval_is_that_of_the_mean() -> None:
    values = np.random.Generator(np.random.Philox(2)).standard_normal(400)
    found = measure(resamples(400, seed=3) @ values / 400.0)
    assert found.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20.0
    assert found.low == pytest.approx(values.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.15 * half)
