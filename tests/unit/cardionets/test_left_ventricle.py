"""The meter on shapes of known volume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipelines.cardionets.left_ventricle import (
    VentricleMeter,
    Volumes,
    area_length_ml,
    ends,
    largest_pool,
)
from pipelines.cardionets.segmenter import Segmenter, SegmenterSize

PIXEL_MM = 1.8
TINY = SegmenterSize(channels=8, multipliers=(1, 2), groups=4)


def ellipse(long_mm: float, short_mm: float, angle_deg: float = 0.0) -> NDArray[np.float32]:
    """(96, 96) share of each pixel inside an ellipse of these half-axes, by 64 points a pixel."""
    fine = (np.arange(96 * 8) + 0.5) * PIXEL_MM / 8 - 48 * PIXEL_MM
    x, y = np.meshgrid(fine - 3.0, fine + 7.0)
    angle = np.deg2rad(angle_deg)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = (along / long_mm) ** 2 + (across / short_mm) ** 2 <= 1.0
    return inside.reshape(96, 8, 96, 8).mean(axis=(1, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("long_mm", "short_mm", "angle_deg"),
    [(45.0, 25.0, 0.0), (45.0, 25.0, 41.0), (38.0, 15.0, 90.0)],
)
def test_an_ellipse_has_the_volume_of_its_ellipsoid(
    long_mm: float, short_mm: float, angle_deg: float
) -> None:
    true_ml = 4.0 / 3.0 * np.pi * long_mm * short_mm**2 / 1000.0
    measured = area_length_ml(ellipse(long_mm, short_mm, angle_deg)[None], PIXEL_MM)
    assert measured == pytest.approx([true_ml], rel=0.01)


def test_a_second_smaller_pool_counts_nothing() -> None:
    alone = ellipse(40.0, 20.0)
    two = alone.copy()
    two[3:9, 3:9] = 1.0
    assert np.array_equal(largest_pool(two), largest_pool(alone))


def test_a_frame_without_a_cavity_has_no_volume() -> None:
    assert np.isnan(area_length_ml(np.zeros((1, 8, 8), np.float32), PIXEL_MM)).all()


def test_a_slip_of_one_frame_is_not_the_end_of_systole() -> None:
    volumes = 100.0 - 50.0 * np.sin(np.linspace(0.0, np.pi, 50))
    slipped = volumes.copy()
    slipped[40] = 5.0
    assert ends(slipped) == pytest.approx(ends(volumes), abs=0.2)
    assert ends(volumes) == pytest.approx([100.0, 50.0], abs=3.3)


def test_the_ejection_fraction_is_the_share_that_is_ejected() -> None:
    volumes = Volumes(end_diastolic_ml=120.0, end_systolic_ml=48.0)
    assert volumes.ejection_fraction == pytest.approx(60.0)


def test_calibration_finds_the_straight_line_and_is_kept_with_the_weights() -> None:
    meter = VentricleMeter(TINY, PIXEL_MM)
    meter.calibrate(np.array([50.0, 100.0, 150.0]), np.array([47.0, 97.0, 147.0]) * 1.2)
    other = VentricleMeter(TINY, PIXEL_MM)
    other.load_state_dict(meter.state_dict())
    assert float(other.slope) == pytest.approx(1.2)
    assert float(other.intercept) == pytest.approx(-3.6)


def test_a_segmenter_shades_at_half_the_resolution() -> None:
    assert Segmenter(TINY)(torch.zeros(3, 32, 48)).shape == (3, 16, 24)
