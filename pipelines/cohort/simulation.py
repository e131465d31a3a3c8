"""Simulate a paired cohort onto disk, each ECG conditioned as serving conditions it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.errors import UnusableData
from node.domain.identifiers import sha256
from pipelines.cohort.cine import NUISANCE, render_cine
from pipelines.cohort.conditions import Conditions
from pipelines.cohort.electrocardiograph import SAMPLING_FREQUENCY_HZ
from pipelines.cohort.phenotypes import (
    DISEASES,
    PHENOTYPES,
    label_diseases,
    measure_phenotypes,
)
from pipelines.cohort.population import Population, simulate_population
from pipelines.cohort.torso import simulate_ecg
from pipelines.datasets.training_set import (
    Statement,
    TrainingSet,
    create_training_set,
    finish_training_set,
)
from pipelines.manifest import SIMULATED_STATEMENT
from pipelines.preprocessing import RECIPES, condition, subject_vector

RECIPE = RECIPES["cardionode-2"]
CHUNK = 100
SIGNIFICANT_DIGITS = 6
Tick = Callable[[int], None]
"""Told how many more ECGs or cines are done."""


class CohortSizes(BaseModel):
    """How many subjects of one simulated population; test subjects come first.

    `test_digest` freezes them: a cohort whose test subjects are others is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: NonNegativeInt
    test: PositiveInt
    calibration: PositiveInt
    train: PositiveInt
    test_cines: PositiveInt
    train_cines: PositiveInt
    test_digest: str | None = None

    @property
    def size(self) -> int:
        return self.test + self.calibration + self.train

    @property
    def work(self) -> int:
        """ECGs and cines together."""
        return self.size + self.test_cines + self.train_cines

    @property
    def with_cine(self) -> list[int]:
        """Subjects whose cine is rendered: the first to test on, then the first to train on."""
        first = self.test + self.calibration
        return [*range(self.test_cines), *range(first, first + self.train_cines)]


def simulate_cohort(folder: Path, sizes: CohortSizes, tick: Tick) -> TrainingSet:
    """Simulate everything into `folder`; the same sizes give the same arrays.

    Raises UnusableData (the test subjects are not those of `test_digest`).
    """
    population = simulate_population(sizes.size, sizes.seed)
    digest = digest_subjects(population, slice(0, sizes.test))
    if sizes.test_digest not in (None, digest):
        raise UnusableData(
            "the test subjects are not the frozen ones: the simulator or the seed has changed; "
            f"decide that on purpose and write test_digest = {digest!r}"
        )
    made = create_training_set(folder, _statement(sizes, digest))
    made.phenotypes[:] = measure_phenotypes(population)
    made.heart_rate[:] = population.heart_rate_bpm
    made.diseases[:] = label_diseases(population)
    made.subject[:] = subject_vectors(population)
    made.cine_subject[:] = sizes.with_cine
    with ProcessPoolExecutor() as pool:
        _fill(made.ecg, pool.map(_ecgs, _shares(range(sizes.size), sizes)), tick)
        _fill(made.cine, pool.map(_cines, _shares(sizes.with_cine, sizes)), tick)
    finish_training_set(folder, made)
    return made


def digest_subjects(population: Population, part: slice) -> str:
    """SHA-256 over what the subjects are, to 6 significant digits: equal on every machine."""
    people: Sequence[tuple[Population | Conditions, str]] = [
        *((population, field.name) for field in fields(Population) if field.name != "conditions"),
        *((population.conditions, field.name) for field in fields(Conditions)),
    ]
    columns = [np.asarray(getattr(of, name)[part], dtype=np.float64) for of, name in people]
    table = np.concatenate([column.reshape(len(column), -1) for column in columns], axis=1)
    lines = [" ".join(f"{value:.{SIGNIFICANT_DIGITS}g}" for value in row) for row in table]
    return sha256("\n".join(lines).encode())


def population_of(statement: Statement) -> Population:
    """The subjects that a simulated training set was made of.

    Raises UnusableData (it is not simulated, or another simulator made it).
    """
    if not statement.simulated or statement.seed is None:
        raise UnusableData("the training set is not simulated: there is no population to recompute")
    population = simulate_population(statement.subjects, statement.seed)
    if digest_subjects(population, statement.test_part) != statement.test_digest:
        raise UnusableData(
            "another simulator made this training set: its test subjects are not the ones that "
            "its seed gives now; make the set again with: cardionets simulate"
        )
    return population


def subject_vectors(population: Population) -> NDArray[np.float32]:
    """(n, 8) float32: what is known of each subject, as serving tells a network."""
    return np.stack(
        [
            subject_vector(
                Subject(
                    age_years=float(population.age_years[index]),
                    sex="M" if population.male[index] else "F",
                    height_cm=float(population.height_cm[index]),
                    weight_kg=float(population.weight_kg[index]),
                )
            )
            for index in range(population.size)
        ]
    )


def conditioned_ecg(population: Population, index: int, *, seed: int) -> NDArray[np.float32]:
    """(12, 2800) mV: one subject's ECG as the recipe conditions it."""
    record = ECGRecord(
        samples=simulate_ecg(population, index, seed=seed),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=SAMPLING_FREQUENCY_HZ,
    )
    return condition(record, RECIPE)


def _statement(sizes: CohortSizes, digest: str) -> Statement:
    return Statement(
        description=SIMULATED_STATEMENT,
        simulated=True,
        recipe=RECIPE.name,
        test=sizes.test,
        calibration=sizes.calibration,
        train=sizes.train,
        cines=len(sizes.with_cine),
        field_ids=tuple(phenotype.field_id for phenotype in PHENOTYPES),
        diseases=tuple(field_id for field_id, _ in DISEASES),
        seed=sizes.seed,
        nuisance=NUISANCE,
        test_digest=digest,
    )


def _fill(target: NDArray[Any], parts: Iterator[NDArray[Any]], tick: Tick) -> None:
    """Write the parts one behind the other as they come."""
    row = 0
    for part in parts:
        target[row : row + len(part)] = part
        row += len(part)
        tick(len(part))


Share = tuple[list[int], int, int]
"""Subjects, and the size and seed of the population that they are of."""


def _shares(subjects: Sequence[int], sizes: CohortSizes) -> list[Share]:
    """Subjects in chunks, each with what a worker needs to draw the population again."""
    return [
        (list(subjects[start : start + CHUNK]), sizes.size, sizes.seed)
        for start in range(0, len(subjects), CHUNK)
    ]


def _ecgs(share: Share) -> NDArray[np.float16]:
    subjects, size, seed = share
    population = simulate_population(size, seed)
    ecgs = [conditioned_ecg(population, index, seed=seed) for index in subjects]
    return np.stack(ecgs).astype(np.float16)


def _cines(share: Share) -> NDArray[np.uint8]:
    subjects, size, seed = share
    population = simulate_population(size, seed)
    return np.stack([render_cine(population, index, seed=seed) for index in subjects])
