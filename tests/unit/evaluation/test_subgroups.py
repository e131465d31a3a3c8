"""Who belongs to a subgroup, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.cohort.population import simulate_population
from pipelines.datasets.training_set import Statement, TrainingSet
from pipelines.evaluation.subgroups import subgroups

AGES = [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0]
RATES = [50.0, 90.0, 60.0, 100.0, 70.0, 80.0]


@pytest.fixture
def people() -> TrainingSet:
    """Six to test on, three men, one woman, two of unknown sex; the last one's age is unknown."""
    subject = np.zeros((8, 8), dtype=np.float32)
    subject[:6, 1], subject[:5, 0] = AGES, 1.0
    subject[5, 1] = 0.0
    subject[:4, 2], subject[:4, 3] = 1.0, [1.0, 1.0, 1.0, -1.0]
    statement = Statement(
        description="made up", simulated=False, recipe="cardionode-1", test=6, calibration=1,
        train=1, cines=0, field_ids=(), diseases=(), test_digest="0",
    )  # fmt: skip
    return TrainingSet(
        statement=statement,
        ecg=np.zeros((8, 12, 4), np.float16),
        subject=subject,
        phenotypes=np.zeros((8, 0), np.float32),
        heart_rate=np.array([*RATES, 0.0, 0.0], np.float32),
        diseases=np.zeros((8, 0), np.int8),
        cine=np.zeros((0, 1, 1, 1), np.uint8),
        cine_subject=np.zeros(0, np.int64),
    )


def test_only_what_is_known_of_a_subject_puts_it_into_a_group(people: TrainingSet) -> None:
    found = {
        name: np.flatnonzero(group).tolist() for name, group in subgroups(people, None).items()
    }
    assert found == {
        "men": [0, 1, 2],
        "women": [3],
        "age: lowest third": [0, 1],
        "age: middle third": [2],
        "age: highest third": [3, 4],
        "heart rate: lowest third": [0, 2],
        "heart rate: middle third": [4, 5],
        "heart rate: highest third": [1, 3],
    }


def test_fibrillation_is_known_of_simulated_subjects(people: TrainingSet) -> None:
    population = simulate_population(8, 3)
    population.conditions.fibrillation[:] = [True, False, False, True, False, False, True, True]
    found = subgroups(people, population)
    assert np.flatnonzero(found["atrial fibrillation"]).tolist() == [0, 3]
    assert found["no atrial fibrillation"].sum() == 4
