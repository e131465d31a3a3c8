"""The simulated cohort: geometry that adds up, leads that obey their laws, chance that repeats."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.cohort import heart
from pipelines.cohort.population import Stream, draw, simulate_population
from pipelines.cohort.torso import simulate_ecg


def test_the_first_subjects_are_the_same_in_a_larger_population() -> None:
    small, large = simulate_population(20, 5), simulate_population(50, 5)
    assert np.array_equal(small.lvedv_ml, large.lvedv_ml[:20])
    assert not np.array_equal(small.lvedv_ml, simulate_population(20, 6).lvedv_ml)


def test_streams_of_chance_are_independent() -> None:
    numbers = [draw(1, stream).random(4).tolist() for stream in Stream]
    assert len({tuple(each) for each in numbers}) == len(Stream)


def test_the_cavity_has_the_volume_it_was_given() -> None:
    """Against the integral of its cross-sections (half-axes 0.7 L and R, cut at -0.3 L)."""
    volume, length = 141.0, 88.0
    radius = float(heart.cavity_radius_mm(np.array(volume), np.array(length)))
    z = np.linspace(-0.3 * length, 0.7 * length, 200_001)
    area = np.pi * radius**2 * (1.0 - (z / (0.7 * length)) ** 2)
    assert np.trapezoid(area, z) / 1000.0 == pytest.approx(volume, rel=1e-6)


def test_limb_leads_obey_einthoven_and_goldberger() -> None:
    ecg = simulate_ecg(simulate_population(5, 1), 2, seed=1)
    assert ecg.shape == (5000, 12)
    one, two, three, avr, avl, avf = ecg.T[:6]
    assert np.allclose(three, two - one, atol=1e-6)
    assert np.allclose(avr, -(one + two) / 2, atol=1e-6)
    assert np.allclose(avl, (one - three) / 2, atol=1e-6)
    assert np.allclose(avf, (two + three) / 2, atol=1e-6)


def test_an_ecg_repeats_and_differs_by_subject() -> None:
    population = simulate_population(5, 1)
    assert np.array_equal(simulate_ecg(population, 1, seed=1), simulate_ecg(population, 1, seed=1))
    assert not np.array_equal(
        simulate_ecg(population, 1, seed=1), simulate_ecg(population, 2, seed=1)
    )
