"""Which heart diseases a simulated subject has, before its heart is built.

Prevalences are those of adults of 20 to 90 years, rare diseases raised to about one in a hundred so
that a test cohort of thousands holds enough of each to be measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Choice = NDArray[np.int8]


class Conduction(IntEnum):
    """How the ventricles are excited."""

    NORMAL = 0
    LEFT_BUNDLE_BRANCH_BLOCK = 1
    RIGHT_BUNDLE_BRANCH_BLOCK = 2


class Territory(IntEnum):
    """Whose artery's infarct left a scar."""

    NONE = 0
    ANTERIOR = 1
    INFERIOR = 2
    LATERAL = 3


class Cardiomyopathy(IntEnum):
    """Disease of the heart muscle itself."""

    NONE = 0
    DILATED = 1
    HYPERTROPHIC = 2
    AMYLOID = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """n subjects, one array a condition, each (n,)."""

    fibrillation: NDArray[np.bool_]
    """Atrial fibrillation, also while the ECG and the cine are recorded."""
    conduction: Choice
    territory: Choice
    scar: Vector
    """Share of the left ventricle's muscle that is scar, 0 without an infarct."""
    cardiomyopathy: Choice
    severity: Vector
    """0 to 1, of the cardiomyopathy and of pressure overload."""
    pressure_overload: NDArray[np.bool_]
    """Years of hypertension or a narrow aortic valve: concentric hypertrophy."""
    pulmonary_hypertension: NDArray[np.bool_]


def draw_conditions(
    rng: np.random.Generator, age_years: Vector, male: NDArray[np.bool_], systolic_mmhg: Vector
) -> Conditions:
    """Draw each subject's conditions; a row of 10 uniform numbers a subject, so rows stay put."""
    chance = rng.random((age_years.size, 10)).T
    decades = (age_years - 58.0) / 10.0
    sex = np.where(male, 1.0, -1.0)
    muscle = np.select(
        [chance[0] < 0.014, chance[0] < 0.026, chance[0] < 0.026 + 0.010 * (age_years > 60.0)],
        [Cardiomyopathy.DILATED, Cardiomyopathy.HYPERTROPHIC, Cardiomyopathy.AMYLOID],
        Cardiomyopathy.NONE,
    ).astype(np.int8)
    dilated, amyloid = muscle == Cardiomyopathy.DILATED, muscle == Cardiomyopathy.AMYLOID
    infarct = chance[1] < _share(-3.75 + 0.45 * decades + 0.45 * sex)
    territory = np.where(
        infarct, 1 + np.searchsorted([0.45, 0.80], chance[2]), Territory.NONE
    ).astype(np.int8)
    overload = chance[4] < _share(-3.6 + 0.3 * decades + 0.05 * (systolic_mmhg - 133.0))
    left_block = chance[5] < np.where(dilated, 0.35, 0.006)
    right_block = ~left_block & (chance[6] < _share(-3.9 + 0.35 * decades + 0.25 * sex))
    risk = -4.3 + 0.75 * decades + 0.15 * sex + 1.3 * dilated + 1.6 * amyloid
    return Conditions(
        fibrillation=chance[7] < _share(risk),
        conduction=np.select(
            [left_block, right_block],
            [Conduction.LEFT_BUNDLE_BRANCH_BLOCK, Conduction.RIGHT_BUNDLE_BRANCH_BLOCK],
            Conduction.NORMAL,
        ).astype(np.int8),
        territory=territory,
        scar=np.where(infarct, 0.04 + 0.20 * chance[3], 0.0),
        cardiomyopathy=muscle,
        severity=chance[8],
        pressure_overload=overload & (muscle == Cardiomyopathy.NONE),
        pulmonary_hypertension=chance[9] < _share(-4.2 + 0.3 * decades),
    )


def _share(log_odds: Vector) -> Vector:
    share: Vector = 1.0 / (1.0 + np.exp(-log_odds))
    return share
