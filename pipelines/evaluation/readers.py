"""Who says the numbers: the network in two ways, baselines without one, and the ideal reader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.population import Population
from pipelines.datasets.training_set import TrainingSet
from pipelines.evaluation.ecg_features import PENALTY, ecg_features
from pipelines.evaluation.oracle import read_ideally, visible_traits
from pipelines.evaluation.phenotypes import demographic_features, ridge

Array = NDArray[np.float64]
Tick = Callable[[float], None]
"""Told which further share of the work is done."""
MODEL: Final = {"ecg_and_subject": True, "ecg_only": False}
"""How a network is asked -> whether it is told age, sex, height and weight."""
STRIDE = 500
"""ECGs between two ticks."""


def read_by_baselines(data: TrainingSet, fitted: slice, tick: Tick) -> dict[str, Array]:
    """Reader -> (n, P) of the test subjects; ECGs are fitted on `fitted`, people on all.

    mean · demographics: ridge on age, sex, height, weight, squares, products · ecg_features: ridge
    on what a reader measures · ecg_features_and_demographics.
    """
    train, test = data.statement.train_part, data.statement.test_part
    wanted, fitted_wanted = (data.phenotypes[part].astype(np.float64) for part in (train, fitted))
    seen, seen_test = _features(data, fitted, tick), _features(data, test, tick)
    people, people_fitted, people_test = (
        demographic_features(data.subject[part]) for part in (train, fitted, test)
    )
    return {
        "mean": np.tile(_means(wanted), (test.stop, 1)),
        "demographics": ridge(people, wanted, people_test),
        "ecg_features": ridge(seen, fitted_wanted, seen_test, penalty=PENALTY),
        "ecg_features_and_demographics": ridge(
            np.concatenate([seen, people_fitted], axis=1),
            fitted_wanted,
            np.concatenate([seen_test, people_test], axis=1),
            penalty=PENALTY,
        ),
    }


def read_by_oracle(
    data: TrainingSet, population: Population, fitted: slice, tick: Tick
) -> dict[str, Array]:
    """Reader -> (n, P) of the test subjects: from what the ECG shows, without noise.

    oracle_ecg · oracle_ecg_and_subject: with age, sex, height and weight.
    """
    seed, test = data.statement.seed or 0, data.statement.test_part
    wanted = data.phenotypes[fitted].astype(np.float64)
    seen, seen_test = (visible_traits(population, part, seed=seed) for part in (fitted, test))
    person, person_test = (data.subject[part, 1::2].astype(np.float64) for part in (fitted, test))
    sight = {
        "oracle_ecg": (seen, seen_test),
        "oracle_ecg_and_subject": (
            np.concatenate([seen, person], axis=1),
            np.concatenate([seen_test, person_test], axis=1),
        ),
    }
    return {
        name: read_ideally(traits, wanted, of_test, lambda share: tick(share / 2.0)).predicted
        for name, (traits, of_test) in sight.items()
    }


def _features(data: TrainingSet, part: slice, tick: Tick) -> Array:
    """(n, 505). Half of the work is the fitted subjects', half the test's."""
    chunks = []
    for start in range(part.start, part.stop, STRIDE):
        rows = slice(start, min(start + STRIDE, part.stop))
        chunks.append(ecg_features(data.rhythm[rows], data.heart_rate[rows]))
        tick(0.5 * (rows.stop - rows.start) / (part.stop - part.start))
    return np.concatenate(chunks).astype(np.float64)


def _means(wanted: Array) -> Array:
    """(P,) of the known; 0 where none is."""
    known = ~np.isnan(wanted)
    return np.asarray(np.where(known, wanted, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
