"""A cohort on disk as training reads it: arrays of subjects, simulated or real, and a statement.

A folder with one `.npy` for each array and `training_set.json`, written last: a folder without it
is not whole. Subjects stand in three parts, the ones to test on first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError, model_validator

from node.domain.errors import UnusableData
from pipelines.preprocessing import RECIPES

STATEMENT: Final = "training_set.json"
FRAMES: Final = 50
SIZE: Final = 96
UNKNOWN: Final = -1
"""Of a disease label."""
SUBJECT_VALUES: Final = 8


class Statement(BaseModel):
    """What the arrays are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    description: str
    simulated: bool
    recipe: str
    """Of pipelines.preprocessing, that conditioned the ECGs."""
    test: NonNegativeInt
    """Number of subjects to test on: the first ones."""
    calibration: NonNegativeInt
    train: NonNegativeInt
    cines: NonNegativeInt
    field_ids: tuple[str, ...]
    """Columns of `phenotypes`."""
    diseases: tuple[str, ...]
    """Columns of `diseases`, by field id."""
    seed: int | None = None
    """Of a simulation."""
    nuisance: str | None = None
    """Name of the simulated scans' spread: every image metric depends on it."""
    test_digest: str
    """SHA-256 of who is tested on."""

    @property
    def subjects(self) -> int:
        return self.test + self.calibration + self.train

    @property
    def test_part(self) -> slice:
        return slice(0, self.test)

    @property
    def calibration_part(self) -> slice:
        return slice(self.test, self.test + self.calibration)

    @property
    def train_part(self) -> slice:
        return slice(self.test + self.calibration, self.subjects)

    @model_validator(mode="after")
    def _recipe_is_known(self) -> Self:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe {self.recipe!r} is not one of {', '.join(RECIPES)}")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Row k of an array is subject k, of `cine` the subject `cine_subject` says.

    ecg: (n, 12, window) float16, as the recipe conditions · subject: (n, 8) float32, as
    `preprocessing.subject_vector` · phenotypes: (n, P) float32 in natural units, NaN where unknown
    · heart_rate: (n,) float32 per minute · diseases: (n, D) int8, `UNKNOWN` where unknown · cine:
    (m, 50, 96, 96) uint8 · cine_subject: (m,) int64, ascending.
    """

    statement: Statement
    ecg: NDArray[np.float16]
    subject: NDArray[np.float32]
    phenotypes: NDArray[np.float32]
    heart_rate: NDArray[np.float32]
    diseases: NDArray[np.int8]
    cine: NDArray[np.uint8]
    cine_subject: NDArray[np.int64]

    @property
    def rhythm(self) -> NDArray[np.float16]:
        """(n, 12, ·) the ECGs without the beat that the recipe may lay in front of them."""
        return self.ecg[:, :, RECIPES[self.statement.recipe].beat_samples :]

    def cines_of(self, part: slice) -> NDArray[np.int64]:
        """(k,) rows of `cine` whose subjects are of the part."""
        inside = (self.cine_subject >= part.start) & (self.cine_subject < part.stop)
        return np.nonzero(inside)[0]


def create_training_set(folder: Path, statement: Statement) -> TrainingSet:
    """Arrays to fill in, on disk; `finish_training_set` makes them a whole set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / STATEMENT).unlink(missing_ok=True)

    def array(name: str) -> NDArray[Any]:
        dtype, shape = _layout(statement)[name]
        return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)

    return TrainingSet(statement=statement, **{name: array(name) for name in _layout(statement)})


def finish_training_set(folder: Path, made: TrainingSet) -> None:
    """Write arrays and statement through: from now on `open_training_set` takes the folder."""
    for name in _layout(made.statement):
        getattr(made, name).flush()
    text = json.dumps(made.statement.model_dump(), indent=2)
    (folder / STATEMENT).write_text(text + "\n", encoding="utf-8")


def open_training_set(folder: Path) -> TrainingSet:
    """The arrays, read as needed.

    Raises UnusableData (no whole training set, or arrays that are not what the statement says).
    """
    try:
        text = (folder / STATEMENT).read_text(encoding="utf-8")
        statement = Statement.model_validate_json(text)
    except OSError as error:
        raise UnusableData(
            f"{folder} holds no whole training set; make it with: cardionets simulate, or "
            "cardionets prepare for real data"
        ) from error
    except ValidationError as error:
        raise UnusableData(f"{folder / STATEMENT}: {error}") from error
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _layout(statement)}
    for name, (dtype, shape) in _layout(statement).items():
        if arrays[name].dtype != dtype or arrays[name].shape != shape:
            raise UnusableData(
                f"{folder / name}.npy must be {np.dtype(dtype).name} of shape {shape}, as "
                f"{STATEMENT} says; make the set again"
            )
    return TrainingSet(statement=statement, **arrays)


def _layout(statement: Statement) -> dict[str, tuple[type, tuple[int, ...]]]:
    """Array -> its dtype and shape."""
    n, window = statement.subjects, RECIPES[statement.recipe].window_samples
    return {
        "ecg": (np.float16, (n, 12, window)),
        "subject": (np.float32, (n, SUBJECT_VALUES)),
        "phenotypes": (np.float32, (n, len(statement.field_ids))),
        "heart_rate": (np.float32, (n,)),
        "diseases": (np.int8, (n, len(statement.diseases))),
        "cine": (np.uint8, (statement.cines, FRAMES, SIZE, SIZE)),
        "cine_subject": (np.int64, (statement.cines,)),
    }
