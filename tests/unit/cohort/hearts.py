"""One subject with one condition, and what a reader measures on its ECG."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from pipelines.cohort.population import Population
from pipelines.cohort.torso import simulate_ecg
from pipelines.evaluation.ecg_measures import ECGMeasures, MedianBeat, measure_ecg, median_beat

SEED = 5


def with_condition(population: Population, **changed: Any) -> Population:
    """The same hearts, each of them with these conditions."""
    return replace(
        population,
        conditions=replace(
            population.conditions,
            **{name: np.full(population.size, value) for name, value in changed.items()},
        ),
    )


def without_conditions(population: Population) -> Population:
    return with_condition(
        population, fibrillation=False, conduction=np.int8(0), territory=np.int8(0), scar=0.0,
        cardiomyopathy=np.int8(0), pressure_overload=False, pulmonary_hypertension=False,
    )  # fmt: skip


def record_of(population: Population, index: int) -> ECGRecord:
    return ECGRecord(
        samples=simulate_ecg(population, index, seed=SEED),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=500.0,
    )


def measures_of(population: Population, index: int) -> ECGMeasures:
    found = measure_ecg(record_of(population, index))
    assert found is not None
    return found


def qrs_of(population: Population, index: int) -> NDArray[np.float64]:
    """(n, 12) mV of the median QRS complex, every millisecond from its onset."""
    beat: MedianBeat | None = median_beat(record_of(population, index))
    assert beat is not None
    return beat.samples[beat.onset : beat.end]
