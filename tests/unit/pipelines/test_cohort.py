"""The simulated cohort: geometry that adds up, leads that obey their laws, chance that repeats."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.cohort import heart
from pipelines.cohort.phenotypes import PHENOTYPES, measure_phenotypes
from pipelines.cohort.population import Stream, draw, simulate_population
from pipelines.cohort.torso import simulate_ecg
from pipelines.evaluation.phenotypes import (
    area_under_curve,
    conformal_scale,
    coverage,
    r_squared,
    ridge,
)


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


def test_phenotypes_obey_their_identities() -> None:
    population = simulate_population(200, 3)
    table = measure_phenotypes(population)
    column = {phenotype.field_id: table[:, i] for i, phenotype in enumerate(PHENOTYPES)}
    assert np.allclose(column["24102"], column["24100"] - column["24101"])
    assert np.allclose(column["24103"], 100 * column["24102"] / column["24100"])
    assert np.allclose(column["24104"], column["24102"] * population.heart_rate_bpm / 1000)


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


def test_the_measures_have_their_known_values() -> None:
    true = np.array([[1.0], [2.0], [3.0]])
    assert r_squared(true, true) == pytest.approx([1.0])
    assert r_squared(np.full((3, 1), 2.0), true) == pytest.approx([0.0])
    assert coverage(np.zeros((3, 1)), true, np.array([2.0])) == pytest.approx([2 / 3])
    label = np.array([False, False, True, True])
    assert area_under_curve(np.array([1.0, 2.0, 2.0, 3.0]), label) == pytest.approx(0.875)


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
