"""How a simulated heart conducts: electrical traits that follow from its anatomy, loosely.

Each trait is linear in the anatomy plus the subject's own electrophysiology, set so that anatomy
can be read from the ECG about as well as published work reads it (R2 near .6 for LV mass, .5 for
volumes, .25 for ejection fraction), and no better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.population import Population, Stream, draw

TRAITS = (
    "qrs_duration", "amplitude", "axis", "transition", "st_t_angle", "t_amplitude",
    "p_duration", "p_amplitude", "p_terminal", "qt", "notch", "septal", "late_right", "pq",
)  # fmt: skip

# Share of each standardised cause in each trait; the rest of the variance is the subject's own.
# Signs and sizes after the correlations of J Electrocardiol 2006;39:67, PMC6932018, PMC4051227.
COUPLING: dict[str, dict[str, float]] = {
    "qrs_duration": {"mass": 0.44, "edv": 0.18, "ef": -0.05},
    "amplitude": {"mass": 0.60, "edv": 0.08, "bmi": -0.34, "age": -0.09, "sex": 0.05},
    "axis": {"bmi": -0.36, "age": -0.36, "mass": -0.16, "ra": 0.12},
    "transition": {"edv": 0.23, "sex": 0.18, "ef": -0.09},
    "st_t_angle": {"mass": 0.32, "ef": -0.19, "age": 0.18},
    "t_amplitude": {"mass": -0.18, "ef": 0.18, "sex": 0.36, "edv": 0.05},
    "p_duration": {"la": 0.44, "age": 0.23},
    "p_amplitude": {"ra": 0.40, "rate": 0.18},
    "p_terminal": {"la": 0.40, "bmi": 0.09},
    "qt": {"sex": -0.41, "age": 0.18, "mass": 0.20, "ef": -0.07},
    "notch": {"edv": 0.22, "ef": -0.18},
    "septal": {"ef": 0.14, "edv": -0.19, "age": -0.23},
    "late_right": {"rv": 0.26, "sex": 0.18},
    "pq": {"age": 0.27, "la": 0.20, "sex": 0.09, "rate": -0.27},
}

OWN_SPREAD = np.array(
    [0.77, 0.72, 0.84, 0.92, 0.89, 0.95, 0.85, 0.91, 0.89, 0.94, 0.94, 0.92, 0.91, 0.87]
)
"""Standard deviation of each trait's own part."""


def electrical_traits(population: Population, index: int, *, seed: int) -> dict[str, float]:
    """Standardised electrical traits of one subject by name, each of variance near 1."""
    mean = expected_traits(population, slice(index, index + 1))[0]
    own = draw(seed, Stream.ELECTROPHYSIOLOGY, index).standard_normal(len(TRAITS)) * OWN_SPREAD
    return dict(zip(TRAITS, (mean + own).tolist(), strict=True))


def expected_traits(population: Population, part: slice) -> NDArray[np.float64]:
    """(n, traits) of these subjects: what follows from the anatomy, without their own parts."""
    p, k = population, part
    ejection = (p.lvedv_ml[k] - p.lvesv_ml[k]) / p.lvedv_ml[k]
    # Fixed centres and spreads of the population, so that a subject does not depend on the others.
    causes = {
        "mass": (np.log(p.lv_mass_g[k]) - 4.455) / 0.276,
        "edv": (np.log(p.lvedv_ml[k]) - 4.944) / 0.228,
        "ef": (ejection - 0.595) / 0.060,
        "rv": (np.log(p.rvedv_ml[k]) - 4.991) / 0.252,
        "la": (np.log(p.la_max_ml[k]) - 4.158) / 0.309,
        "ra": (np.log(p.ra_max_ml[k]) - 4.297) / 0.328,
        "age": (p.age_years[k] - 58.0) / 13.8,
        "sex": np.where(p.male[k], 1.0, -1.0),
        "bmi": (p.mass_index[k] - 26.7) / 4.2,
        "rate": (p.heart_rate_bpm[k] - 62.4) / 11.0,
    }
    mean = np.zeros((len(ejection), len(TRAITS)))
    for column, name in enumerate(TRAITS):
        for cause, share in COUPLING[name].items():
            mean[:, column] += share * causes[cause]
    return mean
