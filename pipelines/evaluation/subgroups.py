"""Who the test subjects are: by sex, thirds of age and heart rate, atrial fibrillation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.population import Population
from pipelines.datasets.training_set import TrainingSet

Members = NDArray[np.bool_]
AGE, SEX = 0, 1
"""Places in the subject vector, of a known flag and a value each."""


def subgroups(data: TrainingSet, population: Population | None) -> dict[str, Members]:
    """Name -> (n,) which test subjects belong to it; groups without a member are left out.

    population: of a simulated set; of real subjects nobody knows who fibrillates.
    """
    test = data.statement.test_part
    flags, values = data.subject[test, 0::2] > 0.0, data.subject[test, 1::2]
    groups = {
        "men": flags[:, SEX] & (values[:, SEX] > 0.0),
        "women": flags[:, SEX] & (values[:, SEX] < 0.0),
        **_thirds("age", values[:, AGE], flags[:, AGE]),
        **_thirds("heart rate", data.heart_rate[test], np.ones(test.stop, dtype=np.bool_)),
    }
    if population is not None:
        fibrillating = population.conditions.fibrillation[test]
        groups |= {"atrial fibrillation": fibrillating, "no atrial fibrillation": ~fibrillating}
    return {name: group for name, group in groups.items() if group.any()}


def _thirds(name: str, values: NDArray[np.float32], known: Members) -> dict[str, Members]:
    if not known.any():
        return {}
    low, high = np.quantile(values[known], [1.0 / 3.0, 2.0 / 3.0])
    return {
        f"{name}: lowest third": known & (values <= low),
        f"{name}: middle third": known & (values > low) & (values <= high),
        f"{name}: highest third": known & (values > high),
    }
