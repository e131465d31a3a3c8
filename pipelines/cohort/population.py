"""A simulated population: who the subjects are and how their hearts are built.

Means, spreads and effects follow published UK Biobank figures (Petersen 2017, JCMR 19:18 and
PLoS One 12:e0185114; Bai 2020, Nat Med 26:1654); `pipelines.cohort.targets` has them with the
values that are reached. Ages are spread wider than in UK Biobank: a hospital sees all adults.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.conditions import Cardiomyopathy, Conditions, draw_conditions
from pipelines.cohort.segments import activity_shares, longitudinal_shares, wall_shares

Vector = NDArray[np.float64]


class Stream(IntEnum):
    """Independent sources of chance: each can be redrawn while the others stay."""

    ANATOMY = 1
    ELECTROPHYSIOLOGY = 2
    ECG_NOISE = 3
    NUISANCE = 4
    PIXEL_NOISE = 5


def draw(seed: int, stream: Stream, subject: int = 0) -> np.random.Generator:
    """The generator of one stream of one subject: same arguments, same numbers, everywhere."""
    key = (seed << 8) | int(stream)
    return np.random.Generator(np.random.Philox(key=np.array([key, subject], dtype=np.uint64)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """n subjects, one array a trait, each (n,) unless said otherwise."""

    age_years: Vector
    male: NDArray[np.bool_]
    height_cm: Vector
    weight_kg: Vector
    systolic_mmhg: Vector
    diastolic_mmhg: Vector
    heart_rate_bpm: Vector
    conditions: Conditions
    lvedv_ml: Vector
    lvesv_ml: Vector
    lv_mass_g: Vector
    lv_length_mm: Vector
    """Mitral annulus to apex at end-diastole."""
    lv_shortening: Vector
    """Share of the length lost at end-systole."""
    wall_shares: Vector
    """(n, 16) thickness of the segments over the mean wall."""
    activity_shares: Vector
    """(n, 16) circumferential strain of the segments over the mean."""
    longitudinal_shares: Vector
    """(n, 6) longitudinal strain of the four-chamber plane's segments over the mean."""
    rvedv_ml: Vector
    rvesv_ml: Vector
    la_max_ml: Vector
    la_min_ml: Vector
    ra_max_ml: Vector
    ra_min_ml: Vector
    ascending_min_mm2: Vector
    ascending_distensibility: Vector
    """1e-3 / mmHg."""
    descending_min_mm2: Vector
    descending_distensibility: Vector

    @property
    def size(self) -> int:
        return int(self.age_years.size)

    @property
    def surface_m2(self) -> Vector:
        """Body surface area after Mosteller."""
        return np.sqrt(self.height_cm * self.weight_kg / 3600.0)

    @property
    def mass_index(self) -> Vector:
        """Body mass index, kg/m2."""
        return self.weight_kg / (self.height_cm / 100.0) ** 2

    @property
    def central_pulse_mmhg(self) -> Vector:
        """Pulse pressure in the aorta: less than in the arm."""
        return 0.80 * (self.systolic_mmhg - self.diastolic_mmhg)


def simulate_population(size: int, seed: int) -> Population:
    """Draw `size` subjects; the first k are the same whatever the size."""
    chance = draw(seed, Stream.ANATOMY).standard_normal((size, 70)).T
    male = draw(seed, Stream.ANATOMY, 1).random((size, 1))[:, 0] < 0.48
    sex = np.where(male, 1.0, -1.0)
    age = np.clip(58.0 + 14.0 * chance[0], 20.0, 90.0)
    years = age - 58.0
    height = 169.5 + 6.5 * sex + 6.5 * chance[1] - 0.08 * years
    mass_index = np.clip(26.7 + 0.45 * sex + 4.2 * chance[2], 17.0, 45.0)
    weight = mass_index * (height / 100.0) ** 2
    systolic = 133.0 + 4.0 * sex + 0.55 * years + 0.8 * (mass_index - 26.7) + 13.0 * chance[3]
    diastolic = 78.5 + 2.0 * sex + 0.38 * (systolic - 133.0) - 0.18 * years + 7.0 * chance[4]
    c = draw_conditions(draw(seed, Stream.ANATOMY, 2), age, male, systolic)
    dilated = c.cardiomyopathy == Cardiomyopathy.DILATED
    hypertrophic = c.cardiomyopathy == Cardiomyopathy.HYPERTROPHIC
    amyloid = c.cardiomyopathy == Cardiomyopathy.AMYLOID
    rate = 61.0 - 1.5 * sex + 10.0 * chance[5] + 3.0 * np.maximum(chance[6] - 1.0, 0.0) ** 2 * 4.0
    rate = np.clip(rate + 7.0 * dilated + 14.0 * c.fibrillation, 40.0, 140.0)

    size_log = np.log(np.sqrt(height * weight / 3600.0) / 1.84)
    ventricle = chance[7]  # large for the body, for whatever reason
    lvedv_log = (
        np.log(137.8) + 0.66 * size_log + 0.095 * sex - 0.0036 * years
        - 0.0022 * (rate - 62.0) + 0.146 * ventricle
        + dilated * (0.22 + 0.26 * c.severity) + 0.9 * c.scar - 0.08 * hypertrophic
    )  # fmt: skip
    ejection = (
        60.0 - 1.0 * sex + 4.9 * chance[8] - 1.5 * ventricle - 0.02 * (rate - 62.0)
        - dilated * (9.0 + 17.0 * c.severity) - 62.0 * c.scar - 4.0 * c.fibrillation
        + 4.0 * hypertrophic - 7.0 * c.severity * amyloid
    )  # fmt: skip
    ejection = np.clip(ejection, 15.0, 80.0)
    mass_log = (
        np.log(83.6) + 0.78 * size_log + 0.145 * sex + 0.0030 * (systolic - 133.0)
        + 0.070 * ventricle + 0.108 * chance[9]
        + hypertrophic * (0.25 + 0.35 * c.severity) + amyloid * (0.25 + 0.25 * c.severity)
        + dilated * (0.10 + 0.12 * c.severity) + c.pressure_overload * (0.10 + 0.22 * c.severity)
    )  # fmt: skip
    lvedv = np.exp(lvedv_log)
    stroke = lvedv * ejection / 100.0
    rv_stroke = stroke * (1.0 + 0.03 * chance[10])
    rv_ejection = np.clip(
        57.0 - 1.8 * sex + 4.6 * chance[11] + 0.38 * (ejection - 60.0)
        - c.pulmonary_hypertension * (6.0 + 8.0 * c.severity),
        15.0, 78.0,
    )  # fmt: skip
    rvedv = 100.0 * rv_stroke / rv_ejection
    la_max = np.exp(
        np.log(62.0) + 0.55 * size_log - 0.01 * sex + 0.0045 * years + 0.35 * (lvedv_log - 4.93)
        - 0.009 * (ejection - 60.0) + 0.0025 * (systolic - 133.0) + 0.25 * chance[12]
        + 0.30 * c.fibrillation + 0.15 * (hypertrophic | amyloid)
    )  # fmt: skip
    la_ejection = np.clip(
        60.0 + 6.5 * chance[13] - 0.12 * years + 0.25 * (ejection - 60.0)
        - 26.0 * c.fibrillation - 12.0 * amyloid,
        8.0, 80.0,
    )  # fmt: skip
    ra_max = np.exp(
        np.log(72.5) + 0.55 * size_log + 0.06 * sex + 0.40 * (np.log(rvedv) - 5.0)
        + 0.26 * chance[14] + 0.25 * c.fibrillation + 0.15 * c.pulmonary_hypertension
    )  # fmt: skip
    ra_ejection = np.clip(
        43.0 + 7.0 * chance[15] - 2.0 * sex + 0.3 * (rv_ejection - 56.0) - 16.0 * c.fibrillation,
        6.0, 72.0,
    )  # fmt: skip
    stiffness = -0.0085 * (systolic - 133.0) - 0.021 * years  # of every large artery
    activity = activity_shares(c, chance[32:48].T)
    return Population(
        age_years=age,
        male=male,
        height_cm=height,
        weight_kg=weight,
        systolic_mmhg=systolic,
        diastolic_mmhg=diastolic,
        heart_rate_bpm=rate,
        conditions=c,
        lvedv_ml=lvedv,
        lvesv_ml=lvedv - stroke,
        lv_mass_g=np.exp(mass_log),
        lv_length_mm=88.0 * np.cbrt(lvedv / 141.0) * np.exp(0.035 * chance[16]),
        lv_shortening=np.clip(
            0.185 + 0.0028 * (ejection - 60.0) - 0.004 * sex + 0.015 * chance[17], 0.03, 0.28
        ),
        wall_shares=wall_shares(c, chance[48:64].T),
        activity_shares=activity,
        longitudinal_shares=longitudinal_shares(activity, chance[64:70].T),
        rvedv_ml=rvedv,
        rvesv_ml=rvedv - rv_stroke,
        la_max_ml=la_max,
        la_min_ml=la_max * (1.0 - la_ejection / 100.0),
        ra_max_ml=ra_max,
        ra_min_ml=ra_max * (1.0 - ra_ejection / 100.0),
        ascending_min_mm2=np.exp(
            np.log(775.0) + 0.45 * size_log + 0.06 * sex + 0.0070 * years + 0.12 * chance[18]
        ),
        ascending_distensibility=np.exp(np.log(1.6) + stiffness + 0.38 * chance[19]),
        descending_min_mm2=np.exp(
            np.log(425.0) + 0.45 * size_log + 0.08 * sex + 0.0075 * years + 0.11 * chance[20]
        ),
        descending_distensibility=np.exp(np.log(2.2) + stiffness + 0.36 * chance[21]),
    )
