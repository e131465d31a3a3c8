"""Walls by segment: what disease makes of them, in the table and in the four-chamber plane."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.cohort.beat import move_chambers
from pipelines.cohort.conditions import Cardiomyopathy, Conditions, Conduction, Territory
from pipelines.cohort.population import simulate_population
from pipelines.cohort.segments import (
    LATERAL_WALL,
    SEPTAL_WALL,
    activity_shares,
    longitudinal_shares,
    wall_shares,
)

# Segments of the American Heart Association, counted from 1, that an artery supplies
# (Cerqueira 2002): left anterior descending, right coronary, circumflex.
SUPPLIED = {
    Territory.ANTERIOR: (1, 2, 7, 8, 13, 14),
    Territory.INFERIOR: (3, 4, 9, 10, 15),
    Territory.LATERAL: (5, 6, 11, 12, 16),
}
SUBJECTS = 50
CHANCE = np.random.Generator(np.random.Philox(4)).standard_normal((SUBJECTS, 16))


def conditions(**changed: object) -> Conditions:
    plain: dict[str, object] = {
        "fibrillation": False, "conduction": np.int8(0), "territory": np.int8(0), "scar": 0.0,
        "cardiomyopathy": np.int8(0), "severity": 0.5, "pressure_overload": False,
        "pulmonary_hypertension": False,
    }  # fmt: skip
    return Conditions(**{name: np.full(SUBJECTS, v) for name, v in (plain | changed).items()})


def test_shares_have_mean_1_whatever_the_disease() -> None:
    for kind in Cardiomyopathy:
        for territory in Territory:
            ill = conditions(cardiomyopathy=kind, territory=territory, scar=0.2 * bool(territory))
            activity = activity_shares(ill, CHANCE)
            for shares in (
                wall_shares(ill, CHANCE),
                activity,
                longitudinal_shares(activity, CHANCE[:, :6]),
            ):
                assert shares.mean(axis=1) == pytest.approx(np.ones(SUBJECTS))
                assert (shares > 0.0).all()


def test_asymmetric_hypertrophy_thickens_the_septum() -> None:
    shares = wall_shares(conditions(cardiomyopathy=Cardiomyopathy.HYPERTROPHIC), CHANCE)
    usual = wall_shares(conditions(), CHANCE)
    ratio = shares[:, SEPTAL_WALL].mean(1) / shares[:, LATERAL_WALL].mean(1)
    assert (ratio > 1.3).all()  # the echocardiographic criterion
    assert (ratio > 1.3 * usual[:, SEPTAL_WALL].mean(1) / usual[:, LATERAL_WALL].mean(1)).all()


@pytest.mark.parametrize("territory", SUPPLIED)
def test_the_scar_of_an_artery_is_thin_and_still_where_that_artery_goes(
    territory: Territory,
) -> None:
    inside = np.array(SUPPLIED[territory]) - 1
    outside = np.setdiff1d(np.arange(16), inside)
    scarred, sound = conditions(territory=territory, scar=0.2), conditions()
    thin = wall_shares(scarred, CHANCE) / wall_shares(sound, CHANCE)
    still = activity_shares(scarred, CHANCE) / activity_shares(sound, CHANCE)
    assert (thin[:, inside].max(axis=1) < thin[:, outside].min(axis=1)).all()
    assert thin[:, inside].mean() < 0.9
    assert (still[:, inside].max(axis=1) < 0.5).all()
    assert (still[:, outside].min(axis=1) > 1.0).all()


def test_a_left_block_slows_the_septum_and_amyloid_spares_the_apex() -> None:
    usual = activity_shares(conditions(), CHANCE)
    blocked = conditions(conduction=Conduction.LEFT_BUNDLE_BRANCH_BLOCK)
    left = activity_shares(blocked, CHANCE) / usual
    assert (left[:, SEPTAL_WALL].mean(1) < left[:, LATERAL_WALL].mean(1)).all()
    amyloid = activity_shares(conditions(cardiomyopathy=Cardiomyopathy.AMYLOID), CHANCE) / usual
    assert (amyloid[:, 12:].mean(1) > amyloid[:, :6].mean(1)).all()


def test_the_plane_shows_a_hypertrophic_septum_thicker_than_the_lateral_wall() -> None:
    population = simulate_population(2000, 4)
    c = population.conditions
    thick = np.flatnonzero(c.cardiomyopathy == Cardiomyopathy.HYPERTROPHIC)[:5]
    for index in thick:
        beat = move_chambers(population, int(index), 10)
        assert (beat.septal_wall > 1.2 * beat.lateral_wall).all()
