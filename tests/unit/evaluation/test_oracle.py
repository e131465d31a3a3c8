"""The oracle: it sees what an ECG shows and no more, and takes the better of two readers."""

from __future__ import annotations

import numpy as np

from pipelines.cohort.conditions import Conduction
from pipelines.cohort.electrophysiology import TRAITS
from pipelines.cohort.population import simulate_population
from pipelines.evaluation.oracle import OF_ATRIA, OF_VENTRICLES, read_ideally, visible_traits
from pipelines.evaluation.phenotypes import r_squared

SUBJECTS = 400


def _columns(names: tuple[str, ...]) -> list[int]:
    return [TRAITS.index(name) for name in names]


def test_fibrillation_hides_the_p_wave_and_a_block_the_normal_beat() -> None:
    population = simulate_population(SUBJECTS, 3)
    seen = visible_traits(population, slice(0, SUBJECTS), seed=3)
    fibrillating = population.conditions.fibrillation
    blocked = population.conditions.conduction == Conduction.LEFT_BUNDLE_BRANCH_BLOCK
    assert fibrillating.any()
    assert blocked.any()
    assert not seen[np.ix_(fibrillating, _columns(OF_ATRIA))].any()
    assert seen[np.ix_(~fibrillating, _columns(OF_ATRIA))].all()
    assert not seen[np.ix_(blocked, _columns(OF_VENTRICLES))].any()


def test_a_straight_line_is_left_to_the_ridge_and_a_step_to_the_trees() -> None:
    chance = np.random.Generator(np.random.Philox(5))
    traits = chance.standard_normal((1500, 4))
    noise = 0.3 * chance.standard_normal((1500, 2))
    wanted = np.stack([traits @ [1.0, -2.0, 0.5, 0.0], 2.0 * (traits[:, 0] > 0.7)], axis=1) + noise
    answer = read_ideally(traits[:1000], wanted[:1000], traits[1000:], lambda share: None)
    assert answer.boosted.tolist() == [False, True]
    assert (r_squared(answer.predicted, wanted[1000:]) > 0.8).all()
