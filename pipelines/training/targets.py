"""What the networks learn: standardised phenotypes and heart rate, from the training subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.population import simulate_population
from pipelines.training.cohort import Cohort
from pipelines.training.configuration import TrainingConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """natural: (n, T), the phenotypes in their order, then heart rate; mean, scale: (T,)."""

    natural: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    @property
    def standardised(self) -> NDArray[np.float32]:
        return (self.natural - self.mean) / self.scale


def read_targets(cohort: Cohort, configuration: TrainingConfiguration) -> Targets:
    """The targets of every subject, standardised by the training subjects alone."""
    population = simulate_population(configuration.cohort.size, configuration.seed)
    rate = population.heart_rate_bpm.astype(np.float32)[:, None]
    natural = np.concatenate([cohort.phenotypes, rate], axis=1)
    train = natural[: configuration.cohort.train]
    return Targets(natural=natural, mean=train.mean(axis=0), scale=train.std(axis=0))
