"""Baselines and oracle on worlds whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets.training_set import Statement, TrainingSet
from pipelines.evaluation.phenotypes import r_squared, resampled_coverage
from pipelines.evaluation.readers import read_by_baselines

TEST, TRAIN = 200, 600


@pytest.fixture(scope="module")
def world() -> TrainingSet:
    """Three phenotypes: one follows from age, one from how large the ECG is, one from neither."""
    chance = np.random.Generator(np.random.Philox(4))
    count = TEST + 1 + TRAIN
    size = np.exp(0.3 * chance.standard_normal(count))
    ecg = size[:, None, None] * chance.standard_normal((count, 12, 2500))
    subject = np.zeros((count, 8), np.float32)
    subject[:, 0::2] = 1.0
    subject[:, 1] = chance.standard_normal(count)
    noise = 0.3 * chance.standard_normal((count, 3))
    causes = [2.0 + subject[:, 1] ** 2, 3.0 * size, np.zeros(count)]
    statement = Statement(
        description="made up", simulated=False, recipe="cardionode-1", test=TEST, calibration=1,
        train=TRAIN, cines=0, field_ids=("a", "b", "c"), diseases=(), test_digest="0",
    )  # fmt: skip
    return TrainingSet(
        statement=statement,
        ecg=ecg.astype(np.float16),
        subject=subject,
        phenotypes=(np.stack(causes, axis=1) + noise).astype(np.float32),
        heart_rate=np.full(count, 60.0, np.float32),
        diseases=np.zeros((count, 0), np.int8),
        cine=np.zeros((0, 1, 1, 1), np.uint8),
        cine_subject=np.zeros(0, np.int64),
    )


def test_each_baseline_knows_what_it_is_told_and_no_more(world: TrainingSet) -> None:
    readers = read_by_baselines(world, world.statement.train_part, lambda share: None)
    true = world.phenotypes[world.statement.test_part].astype(np.float64)
    reached = {name: r_squared(value, true) for name, value in readers.items()}
    assert reached["demographics"][0] > 0.9  # by the square of age
    assert reached["ecg_features"][1] > 0.8
    assert reached["demographics"][1] < 0.05
    assert reached["ecg_features"][0] < 0.1
    assert (reached["ecg_features_and_demographics"][:2] > 0.6).all()
    for name, each in reached.items():
        assert each[2] < 0.05, name
    assert (np.abs(reached["mean"]) < 0.05).all()


def test_the_mean_is_that_of_the_training_subjects(world: TrainingSet) -> None:
    readers = read_by_baselines(world, world.statement.train_part, lambda share: None)
    train = world.phenotypes[world.statement.train_part].astype(np.float64)
    assert np.allclose(readers["mean"][0], train.mean(axis=0))


def test_an_unknown_value_is_neither_covered_nor_missed() -> None:
    true = np.array([[0.0], [np.nan], [2.0], [9.0]])
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 1.0, 0.0]])
    found = resampled_coverage(weights, np.zeros((4, 1)), true, np.full((4, 1), 3.0))
    assert found[:, 0] == pytest.approx([2.0 / 3.0, 1.0])
