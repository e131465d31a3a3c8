"""How good the numbers are: measures with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.phenotypes import (
    coverage,
    r_squared,
    resampled_absolute_error,
    resampled_correlation,
    ridge,
)
from pipelines.training.calibrate import conformal_scale


def test_the_measures_have_their_known_values() -> None:
    true = np.array([[1.0], [2.0], [3.0]])
    assert r_squared(true, true) == pytest.approx([1.0])
    assert r_squared(np.full((3, 1), 2.0), true) == pytest.approx([0.0])
    assert coverage(np.zeros((3, 1)), true, np.array([2.0])) == pytest.approx([2 / 3])


def test_an_unknown_value_counts_nothing() -> None:
    true = np.array([[1.0, np.nan], [2.0, 4.0], [3.0, 5.0], [np.nan, 9.0]])
    guess = np.array([[1.5, 7.0], [2.0, 4.0], [2.5, 6.0], [50.0, 9.0]])
    assert r_squared(guess, true) == pytest.approx([1.0 - 0.5 / 2.0, 1.0 - 1.0 / 14.0])
    every = np.ones((1, 4))
    assert resampled_absolute_error(every, guess, true)[0] == pytest.approx([1 / 3, 1 / 3])
    known = np.corrcoef(guess[:3, 0], true[:3, 0])[0, 1]
    assert resampled_correlation(every, guess, true)[0, 0] == pytest.approx(known)


def test_conformal_intervals_cover_what_they_promise() -> None:
    chance = np.random.Generator(np.random.Philox(1))
    true = chance.standard_normal((4000, 1))
    spread = np.full_like(true, 0.1)
    scale = conformal_scale(np.zeros((2000, 1)), true[:2000], spread[:2000], 0.9)
    assert scale[0] * 0.1 == pytest.approx(1.645, abs=0.1)
    found = coverage(np.zeros((2000, 1)), true[2000:], spread[2000:] * scale)
    assert found[0] == pytest.approx(0.9, abs=0.02)


def test_ridge_finds_a_straight_line() -> None:
    x = np.linspace(-1.0, 1.0, 400)[:, None]
    assert np.allclose(ridge(x, 3.0 * x + 2.0, x, penalty=1e-6), 3.0 * x + 2.0, atol=1e-6)
