"""Measures of cines on pictures whose values are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipelines.evaluation.cine_measures import (
    WHOLE,
    crop,
    diversity,
    heart_region,
    peak_signal_to_noise_db,
    sharpness,
    unsteadiness,
)
from pipelines.similarity import structural_similarity

CHANCE = np.random.Generator(np.random.Philox(3))
NOISE = CHANCE.random((4, 32, 32), dtype=np.float32)


def test_a_cine_is_like_itself() -> None:
    assert structural_similarity(NOISE, NOISE) == pytest.approx(1.0)


def test_two_even_pictures_differ_in_luminance_alone() -> None:
    """(2 a b + C1) / (a^2 + b^2 + C1) of Wang 2004, with a = 0.4, b = 0.8."""
    a, b = (np.full((1, 16, 16), value, np.float32) for value in (0.4, 0.8))
    assert structural_similarity(a, b) == pytest.approx(0.6401 / 0.8001, abs=1e-4)
    assert peak_signal_to_noise_db(a, b) == pytest.approx(-20.0 * np.log10(0.4), abs=1e-4)


def test_a_ramp_is_as_sharp_as_it_is_steep_and_blur_takes_it_away() -> None:
    down, right = np.mgrid[0:20, 0:20].astype(np.float32) / 100.0
    assert sharpness((3.0 * down + 4.0 * right)[None]) == pytest.approx(0.05, rel=1e-4)
    assert sharpness(gaussian_filter(NOISE, (0, 1, 1))) < 0.5 * sharpness(NOISE)


def test_only_what_changes_its_pace_is_unsteady() -> None:
    phase = 2.0 * np.pi * np.arange(50) / 50
    beat = np.broadcast_to(np.sin(phase).astype(np.float32)[:, None, None], (50, 4, 4))
    exact = (2.0 - 2.0 * np.cos(2.0 * np.pi / 50)) * np.abs(np.sin(phase)).mean()
    assert unsteadiness(beat) == pytest.approx(exact, rel=1e-3)
    assert unsteadiness(np.full((50, 4, 4), 0.3, np.float32)) == 0.0
    flicker = beat + 0.1 * (-1.0) ** np.arange(50, dtype=np.float32)[:, None, None]
    assert unsteadiness(flicker) == pytest.approx(0.4, rel=0.03)


def test_diversity_is_the_mean_distance_of_pairs() -> None:
    cines = np.stack([np.full((2, 3, 3), value, np.float32) for value in (0.0, 0.1, 0.4)])
    assert diversity(cines) == pytest.approx((0.1 + 0.4 + 0.3) / 3.0, rel=1e-5)
    assert diversity(np.stack([NOISE, NOISE])) == 0.0


def test_the_heart_is_where_cines_move() -> None:
    cines = np.full((3, 10, 40, 40), 90, np.uint8)
    cines[:, ::2, 12:20, 5:31] = 180
    cines[0, 0, 0, 0] = 95
    region = heart_region(cines)
    assert region == (slice(12, 20), slice(5, 31))
    assert crop(NOISE, (slice(1, 4), slice(2, 8))).shape == (4, 3, 6)
    assert crop(NOISE, WHOLE).shape == NOISE.shape
