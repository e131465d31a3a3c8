"""A simulated population: who the subjects are and how their hearts are built.

Means, spreads and effects follow published UK Biobank figures (Petersen 2017, JCMR 19:18 and
PLoS One 12:e0185114); a small share has reduced ejection fraction or hypertrophy.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

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
    """n subjects, one array a trait, each (n,)."""

    age_years: Vector
    male: NDArray[np.bool_]
    height_cm: Vector
    weight_kg: Vector
    systolic_mmhg: Vector
    heart_rate_bpm: Vector
    lvedv_ml: Vector
    lvesv_ml: Vector
    lv_mass_g: Vector
    lv_length_mm: Vector
    """Mitral annulus to apex at end-diastole."""
    lv_shortening: Vector
    """Share of the length lost at end-systole."""
    rvedv_ml: Vector
    rvesv_ml: Vector
    la_max_ml: Vector
    la_min_ml: Vector
    ra_max_ml: Vector
    ra_min_ml: Vector

    @property
    def size(self) -> int:
        return int(self.age_years.size)

    @property
    def surface_m2(self) -> Vector:
        """Body surface area after Mosteller."""
        return np.sqrt(self.height_cm * self.weight_kg / 3600.0)


def simulate_population(size: int, seed: int) -> Population:
    """Draw `size` subjects; the first k are the same whatever the size."""
    chance = draw(seed, Stream.ANATOMY).standard_normal((size, 20)).T
    uniform = draw(seed, Stream.ANATOMY, 1).random((size, 4)).T
    male = uniform[0] < 0.48
    sex = np.where(male, 1.0, -1.0)
    age = np.clip(58.0 + 14.0 * chance[0], 20.0, 90.0)
    height = 169.5 + 6.5 * sex + 6.5 * chance[1] - 0.08 * (age - 58.0)
    mass_index = np.clip(26.7 + 0.45 * sex + 4.2 * chance[2], 17.0, 45.0)
    weight = mass_index * (height / 100.0) ** 2
    systolic = (
        133.0 + 4.0 * sex + 0.55 * (age - 58.0) + 0.8 * (mass_index - 26.7) + 13.0 * chance[3]
    )
    dilated = uniform[1] < 0.05
    hypertrophic = uniform[2] < 0.05
    severity = uniform[3]
    rate = 66.0 - 1.5 * sex + 11.0 * chance[4] + np.where(dilated, 6.0, 0.0)
    rate = np.clip(rate + np.maximum(chance[5] - 1.3, 0.0) * 40.0, 42.0, 140.0)

    size_log = np.log(np.sqrt(height * weight / 3600.0) / 1.84)
    years = age - 58.0
    lvedv_log = (
        np.log(141.0) + 0.80 * size_log + 0.085 * sex - 0.0030 * years
        - 0.0022 * (rate - 66.0) + 0.130 * chance[6]
        + np.where(dilated, 0.12 + 0.22 * severity, 0.0)
    )  # fmt: skip
    ejection = (
        60.2 - 1.4 * sex + 4.6 * chance[7] - 1.8 * chance[6] - 0.02 * (rate - 66.0)
        - np.where(dilated, 6.0 + 18.0 * severity, 0.0)
    )  # fmt: skip
    ejection = np.clip(ejection, 18.0, 78.0)
    mass_log = (
        np.log(83.0) + 0.85 * size_log + 0.135 * sex + 0.0030 * (systolic - 133.0)
        + 0.060 * chance[6] + 0.105 * chance[8]
        + np.where(hypertrophic, 0.22 + 0.25 * severity, 0.0)
        + np.where(dilated, 0.08 + 0.10 * severity, 0.0)
    )  # fmt: skip
    lvedv = np.exp(lvedv_log)
    stroke = lvedv * ejection / 100.0
    rv_stroke = stroke * (1.0 + 0.03 * chance[9])
    rv_ejection = np.clip(
        56.5 - 1.8 * sex + 4.2 * chance[10] + 0.40 * (ejection - 60.0), 22.0, 75.0
    )
    rvedv = 100.0 * rv_stroke / rv_ejection
    la_max = np.exp(
        np.log(67.0) + 0.80 * size_log + 0.02 * sex + 0.0035 * years + 0.35 * (lvedv_log - 4.93)
        - 0.009 * (ejection - 60.0) + 0.0025 * (systolic - 133.0) + 0.19 * chance[11]
    )  # fmt: skip
    la_ejection = np.clip(
        59.0 + 6.0 * chance[12] - 0.12 * years + 0.25 * (ejection - 60.0), 20.0, 78.0
    )
    ra_max = np.exp(
        np.log(76.0) + 0.70 * size_log + 0.09 * sex + 0.45 * (np.log(rvedv) - 5.0)
        + 0.20 * chance[13]
    )  # fmt: skip
    ra_ejection = np.clip(
        44.0 + 6.5 * chance[14] - 2.0 * sex + 0.3 * (rv_ejection - 56.0), 15.0, 70.0
    )
    return Population(
        age_years=age,
        male=male,
        height_cm=height,
        weight_kg=weight,
        systolic_mmhg=systolic,
        heart_rate_bpm=rate,
        lvedv_ml=lvedv,
        lvesv_ml=lvedv - stroke,
        lv_mass_g=np.exp(mass_log),
        lv_length_mm=88.0 * np.cbrt(lvedv / 141.0) * np.exp(0.035 * chance[15]),
        lv_shortening=np.clip(
            0.185 + 0.0028 * (ejection - 60.0) - 0.004 * sex + 0.015 * chance[16], 0.05, 0.28
        ),
        rvedv_ml=rvedv,
        rvesv_ml=rvedv - rv_stroke,
        la_max_ml=la_max,
        la_min_ml=la_max * (1.0 - la_ejection / 100.0),
        ra_max_ml=ra_max,
        ra_min_ml=ra_max * (1.0 - ra_ejection / 100.0),
    )
