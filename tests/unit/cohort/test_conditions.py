"""Heart diseases: how many have them, and what each does to the signal of a heart that had none."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord
from node.ecg.beats import detect_beats
from pipelines.cohort.conditions import Cardiomyopathy, Conduction, Territory
from pipelines.cohort.population import Population, simulate_population
from tests.unit.cohort.hearts import (
    SEED,
    measures_of,
    qrs_of,
    record_of,
    with_condition,
    without_conditions,
)

SUBJECTS = 8
ONE, TWO, THREE, AVL, AVF, V1, V2, V3, V6 = 0, 1, 2, 4, 5, 6, 7, 8, 11
"""Columns of the leads."""


@pytest.fixture(scope="module")
def healthy() -> Population:
    return without_conditions(simulate_population(SUBJECTS, SEED))


@pytest.fixture(scope="module")
def adults() -> Population:
    return simulate_population(40_000, 3)


def test_prevalences_are_those_of_adults(adults: Population) -> None:
    c, age = adults.conditions, adults.age_years
    # About one in a hundred each, so that thousands hold enough to measure.
    for kind in (Cardiomyopathy.DILATED, Cardiomyopathy.HYPERTROPHIC):
        assert (c.cardiomyopathy == kind).mean() == pytest.approx(0.013, abs=0.003)
    amyloid = c.cardiomyopathy == Cardiomyopathy.AMYLOID
    assert not amyloid[age <= 60.0].any()
    assert amyloid[age > 60.0].mean() == pytest.approx(0.010, abs=0.003)
    # Atrial fibrillation: 2 to 4 % of adults, tens of times as often in the old (ESC 2020).
    assert 0.015 < c.fibrillation.mean() < 0.04
    assert c.fibrillation[age > 75.0].mean() > 8.0 * c.fibrillation[age < 45.0].mean()
    # Left bundle branch block in a third of dilated hearts, else in under one in a hundred.
    left = c.conduction == Conduction.LEFT_BUNDLE_BRANCH_BLOCK
    dilated = c.cardiomyopathy == Cardiomyopathy.DILATED
    assert left[dilated].mean() == pytest.approx(0.35, abs=0.06)
    assert left[~dilated].mean() < 0.01
    assert c.scar[c.territory == Territory.NONE].max() == 0.0
    assert c.scar[c.territory != Territory.NONE].min() >= 0.04


def test_a_left_bundle_branch_block_widens_the_qrs_complex_beyond_120_ms(
    healthy: Population,
) -> None:
    blocked = with_condition(healthy, conduction=Conduction.LEFT_BUNDLE_BRANCH_BLOCK)
    for index in range(SUBJECTS):
        wide = measures_of(blocked, index).qrs_duration_ms
        assert wide > 120.0
        assert wide > measures_of(healthy, index).qrs_duration_ms + 20.0
        qrs = qrs_of(blocked, index)
        assert qrs[:, V6].sum() > 0.0  # broad R in V6
        assert qrs[:, V1].sum() < 0.0  # deep S in V1


def test_a_right_bundle_branch_block_widens_it_beyond_115_ms_with_a_late_r_in_v1(
    healthy: Population,
) -> None:
    """Nearly always: noise may hide the pause before the late wave, and the measure ends there."""
    blocked = with_condition(healthy, conduction=Conduction.RIGHT_BUNDLE_BRANCH_BLOCK)
    widths = [measures_of(blocked, index).qrs_duration_ms for index in range(SUBJECTS)]
    assert np.mean(np.array(widths) > 115.0) >= 0.9
    for index in np.flatnonzero(np.array(widths) > 115.0).tolist():
        assert widths[index] > measures_of(healthy, index).qrs_duration_ms + 10.0
        late = qrs_of(blocked, index)[int(0.6 * widths[index]) :]
        assert late[:, V1].max() > 0.15
        assert late[:, V6].min() < -0.1


def test_an_anterior_infarct_takes_r_waves_from_the_chest_leads(healthy: Population) -> None:
    scarred = with_condition(healthy, territory=Territory.ANTERIOR, scar=0.2)
    for index in range(SUBJECTS):
        before, after = qrs_of(healthy, index), qrs_of(scarred, index)
        for lead in (V2, V3):
            assert after[:, lead].max() < max(before[:, lead].max() - 0.15, 0.06)
        assert after[:, V6].max() > 0.8 * before[:, V6].max()


def test_an_inferior_infarct_gives_q_waves_in_iii_and_avf_and_a_lateral_one_in_avl(
    healthy: Population,
) -> None:
    inferior = with_condition(healthy, territory=Territory.INFERIOR, scar=0.2)
    lateral = with_condition(healthy, territory=Territory.LATERAL, scar=0.2)
    for index in range(SUBJECTS):
        before = early_area(qrs_of(healthy, index))
        below, beside = early_area(qrs_of(inferior, index)), early_area(qrs_of(lateral, index))
        assert (below[[TWO, THREE, AVF]] < before[[TWO, THREE, AVF]] - 2.0).all()
        assert below[ONE] > before[ONE] - 1.0
        assert (beside[[ONE, AVL]] < before[[ONE, AVL]] - 1.0).all()


def early_area(qrs: NDArray[np.float64]) -> NDArray[np.float64]:
    """(12,) mV ms of the first 45 ms: what a Q wave takes from."""
    area: NDArray[np.float64] = qrs[:45].sum(axis=0)
    return area


def test_a_fibrillating_heart_has_no_p_wave_and_an_irregular_rhythm(healthy: Population) -> None:
    fibrillating = with_condition(healthy, fibrillation=True)
    sinus = [measures_of(healthy, index) for index in range(SUBJECTS)]
    irregular = [measures_of(fibrillating, index) for index in range(SUBJECTS)]
    for before, after in zip(sinus, irregular, strict=True):
        assert after.p_wave_mv < 0.8 * before.p_wave_mv
        assert after.rr_spread > 0.07
    assert np.median([each.p_wave_mv for each in irregular]) < 0.05
    assert np.median([each.rr_spread for each in sinus]) < 0.05


def test_some_recordings_hold_early_beats_with_a_pause() -> None:
    population = without_conditions(simulate_population(250, 9))
    early = sum(has_early_beat(record_of(population, index)) for index in range(250))
    # 4 % of recordings, that is 10 of 250; 99.9 % of binomial chance is within 2 and 22.
    assert 2 <= early <= 22


def has_early_beat(record: ECGRecord) -> bool:
    rr = np.diff(detect_beats(record))
    return bool(((rr[:-1] < 0.72 * np.median(rr)) & (rr[1:] > 1.25 * np.median(rr))).any())
