"""Stage 1: simulate the paired cohort, conditioned as serving conditions, on disk as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from pipelines.cohort.cine import render_cine
from pipelines.cohort.phenotypes import label_diseases, measure_phenotypes
from pipelines.cohort.population import Population, simulate_population
from pipelines.cohort.torso import SAMPLING_FREQUENCY_HZ, simulate_ecg
from pipelines.preprocessing import RECIPES, condition, subject_vector
from pipelines.training.configuration import TrainingConfiguration

RECIPE = RECIPES["cardionode-1"]
FRAMES, SIZE = 50, 96
CHUNK = 100
Tick = Callable[[int], None]
"""Told how many more ECGs or cines are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """The arrays of one simulated cohort; row k is subject k.

    ecg: (n, 12, 2500) float16 mV · subject: (n, 8) float32 · phenotypes: (n, P) float32 natural
    units · diseases: (n, D) bool · cine: (m, 50, 96, 96) uint8 of the subjects `with_cine`.
    """

    ecg: NDArray[np.float16]
    subject: NDArray[np.float32]
    phenotypes: NDArray[np.float32]
    diseases: NDArray[np.bool_]
    cine: NDArray[np.uint8]


def simulate_cohort(folder: Path, configuration: TrainingConfiguration, tick: Tick) -> None:
    """Simulate everything into `folder`; the same configuration gives the same arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = configuration.cohort
    population = simulate_population(sizes.size, configuration.seed)
    np.save(folder / "phenotypes.npy", measure_phenotypes(population).astype(np.float32))
    np.save(folder / "diseases.npy", label_diseases(population))
    np.save(folder / "subject.npy", _subjects(population))
    ecg = np.lib.format.open_memmap(
        folder / "ecg.npy", "w+", np.float16, (sizes.size, 12, RECIPE.window_samples)
    )
    cine = np.lib.format.open_memmap(
        folder / "cine.npy", "w+", np.uint8, (len(sizes.with_cine), FRAMES, SIZE, SIZE)
    )
    with ProcessPoolExecutor() as pool:
        _fill(ecg, pool.map(_ecgs, _shares(range(sizes.size), configuration)), tick)
        _fill(cine, pool.map(_cines, _shares(sizes.with_cine, configuration)), tick)
    ecg.flush()
    cine.flush()


def open_cohort(folder: Path) -> Cohort:
    """The arrays of a simulated cohort, read as needed."""

    def load(name: str) -> NDArray[Any]:
        loaded: NDArray[Any] = np.load(folder / f"{name}.npy", mmap_mode="r")
        return loaded

    return Cohort(
        ecg=load("ecg"),
        subject=load("subject"),
        phenotypes=load("phenotypes"),
        diseases=load("diseases"),
        cine=load("cine"),
    )


def _fill(target: NDArray[Any], parts: Iterator[NDArray[Any]], tick: Tick) -> None:
    """Write the parts one behind the other as they come."""
    row = 0
    for part in parts:
        target[row : row + len(part)] = part
        row += len(part)
        tick(len(part))


def _shares(
    subjects: Sequence[int], configuration: TrainingConfiguration
) -> list[tuple[list[int], int, int]]:
    """Subjects in chunks, each with what a worker needs to draw the population again."""
    size, seed = configuration.cohort.size, configuration.seed
    return [
        (list(subjects[start : start + CHUNK]), size, seed)
        for start in range(0, len(subjects), CHUNK)
    ]


def _subjects(population: Population) -> NDArray[np.float32]:
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


def _ecgs(arguments: tuple[list[int], int, int]) -> NDArray[np.float16]:
    subjects, size, seed = arguments
    population = simulate_population(size, seed)
    conditioned = [
        condition(
            ECGRecord(
                samples=simulate_ecg(population, index, seed=seed),
                leads=STANDARD_LEADS,
                sampling_frequency_hz=SAMPLING_FREQUENCY_HZ,
            ),
            RECIPE,
        )
        for index in subjects
    ]
    return np.stack(conditioned).astype(np.float16)


def _cines(arguments: tuple[list[int], int, int]) -> NDArray[np.uint8]:
    subjects, size, seed = arguments
    population = simulate_population(size, seed)
    return np.stack([render_cine(population, index, seed=seed) for index in subjects])
