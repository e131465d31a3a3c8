"""The ideal sampler in a world whose posterior is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.cohort.population import simulate_population
from pipelines.evaluation.ideal import (
    Evidence,
    draw_hearts,
    effective_size,
    expected,
    scan,
    seen,
    weigh,
)

BANK = 60_000


def toy_world() -> tuple[np.ndarray, Evidence, np.ndarray, np.ndarray]:
    """Hearts h ~ N(0, 1) in two dimensions, seen as A h plus noise of known spread."""
    hearts = np.random.Generator(np.random.Philox(1)).standard_normal((BANK, 2))
    mixing, spread = np.array([[0.8, 0.3], [0.0, 0.9], [0.4, -0.5]]), np.array([0.7, 0.5, 1.2])
    bank = Evidence(values=hearts @ mixing.T, spread=spread, kind=np.zeros(BANK, dtype=np.int64))
    return hearts, bank, mixing, spread


def one_seen(values: list[float], spread: np.ndarray, kind: int = 0) -> Evidence:
    return Evidence(values=np.array([values]), spread=spread, kind=np.array([kind]))


def posterior(
    mixing: np.ndarray, spread: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of hearts by the Kalman gain."""
    gain = mixing.T @ np.linalg.inv(mixing @ mixing.T + np.diag(spread**2))
    return gain @ values, np.eye(2) - gain @ mixing


def test_a_linear_gaussian_world_has_its_closed_form() -> None:
    hearts, bank, mixing, spread = toy_world()
    values = [0.9, -0.4, 1.1]
    weights = weigh(one_seen(values, spread), 0, bank)
    mean, covariance = posterior(mixing, spread, np.array(values))
    assert weights @ hearts == pytest.approx(mean, abs=0.02)
    away = hearts - mean
    assert (weights[:, None] * away).T @ away == pytest.approx(covariance, abs=0.02)
    drawn = hearts[draw_hearts(weights, 4000, seed=5, subject=2)]
    assert drawn.mean(axis=0) == pytest.approx(mean, abs=0.05)


def test_what_is_not_seen_counts_nothing() -> None:
    hearts, bank, mixing, spread = toy_world()
    weights = weigh(one_seen([0.9, np.nan, 1.1], spread), 0, bank)
    mean, _ = posterior(mixing[[0, 2]], spread[[0, 2]], np.array([0.9, 1.1]))
    assert weights @ hearts == pytest.approx(mean, abs=0.02)


def test_a_heart_of_another_kind_is_never_drawn() -> None:
    _, bank, _, spread = toy_world()
    kinds = np.arange(BANK) % 3
    bank = Evidence(values=bank.values, spread=spread, kind=kinds)
    weights = weigh(one_seen([0.0, 0.0, 0.0], spread, kind=2), 0, bank)
    assert weights.sum() == pytest.approx(1.0)
    assert not weights[kinds != 2].any()
    with pytest.raises(ValueError, match="larger"):
        weigh(one_seen([0.0, 0.0, 0.0], spread, kind=7), 0, bank)


def test_equal_weights_are_worth_their_number() -> None:
    assert effective_size(np.full(50, 0.02)) == pytest.approx(50.0)
    assert effective_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1.0)


def test_traits_of_subjects_spread_about_what_their_hearts_lead_to() -> None:
    population = simulate_population(1500, seed=3)
    truth = seen(population, slice(0, 1500), seed=3, person=True)
    mean = expected(population, person=True)
    own = (truth.values - mean.values) / mean.spread
    assert own[:, :14].std(axis=0) == pytest.approx(np.ones(14), abs=0.08)
    assert not own[:, 14:].any()  # heart rate and person are seen without error
    assert np.array_equal(truth.kind, mean.kind)
    assert mean.values.shape == (1500, 14 + 1 + 3)


def test_hearts_drawn_for_a_subject_are_like_the_subject() -> None:
    bank = simulate_population(20_000, seed=11)
    people = simulate_population(40, seed=12)
    told = seen(people, slice(0, 40), seed=12, person=False)
    leads_to = expected(bank, person=False)
    mass = np.log(bank.lv_mass_g)
    guess = [weigh(told, subject, leads_to) @ mass for subject in range(40)]
    assert np.corrcoef(guess, np.log(people.lv_mass_g))[0, 1] > 0.6  # R2 near .6 is published


def test_scans_of_one_heart_differ_by_their_number_alone() -> None:
    population = simulate_population(3, seed=1)
    first, again, other = (scan(population, 1, seed=2, number=number) for number in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
