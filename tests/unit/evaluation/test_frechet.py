"""The Frechet distance against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.ndimage import gaussian_filter

from pipelines.evaluation.frechet import SIZE, cine_features, frechet_distance


def whitened(count: int, size: int, seed: int) -> np.ndarray:
    """(count, size) with mean exactly 0 and covariance exactly the unit matrix."""
    drawn = np.random.Generator(np.random.Philox(seed)).standard_normal((count, size))
    drawn -= drawn.mean(axis=0)
    root = np.linalg.cholesky(np.linalg.inv(np.cov(drawn, rowvar=False)))
    return np.asarray(drawn @ root)


def test_gaussians_along_the_same_axes_have_their_closed_form() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2."""
    spread_a, spread_b = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 1.0])
    shift = np.array([0.0, 1.0, -2.0])
    first, second = whitened(50, 3, 1) * spread_a, whitened(80, 3, 2) * spread_b + shift
    exact = (shift**2).sum() + ((spread_a - spread_b) ** 2).sum()
    assert frechet_distance(first, second) == pytest.approx(exact)


def test_turned_gaussians_agree_with_the_matrix_square_root() -> None:
    mix = np.random.Generator(np.random.Philox(5)).standard_normal((2, 4, 4))
    first, second = whitened(60, 4, 3) @ mix[0], whitened(60, 4, 4) @ mix[1]
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    exact = np.trace(a + b - 2.0 * np.real(sqrtm(a @ b)))
    assert frechet_distance(first, second) == pytest.approx(exact, rel=1e-6)


def test_a_set_is_at_no_distance_from_itself() -> None:
    cloud = whitened(40, 5, 6)
    assert frechet_distance(cloud, cloud) == pytest.approx(0.0, abs=1e-9)


def test_features_see_blur_and_place_but_not_brightness() -> None:
    chance = np.random.Generator(np.random.Philox(7))
    cine = np.zeros((10, 48, 48), np.float32)
    cine[:, 4:20, 4:20] = chance.random((16, 16), dtype=np.float32)
    seen = cine_features(cine)
    assert seen.shape == (SIZE,)
    assert np.abs(cine_features(cine + 0.3) - seen).max() < 1e-5
    blurred = cine_features(gaussian_filter(cine, (0, 1, 1)))
    moved = cine_features(np.roll(cine, (20, 20), axis=(1, 2)))
    scale = np.abs(seen).max()
    assert np.abs(blurred - seen).max() > 0.2 * scale
    assert np.abs(moved - seen).max() > 0.2 * scale
