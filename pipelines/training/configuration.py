"""The training configuration: one TOML file, one frozen tree."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CohortConfiguration(_Table):
    """How many subjects; the parts are disjoint ranges of one population."""

    train: PositiveInt
    calibration: PositiveInt
    test: PositiveInt
    train_cines: PositiveInt
    test_cines: PositiveInt

    @property
    def size(self) -> int:
        return self.train + self.calibration + self.test

    @property
    def calibration_part(self) -> slice:
        return slice(self.train, self.train + self.calibration)

    @property
    def test_part(self) -> slice:
        return slice(self.train + self.calibration, self.size)

    @property
    def with_cine(self) -> list[int]:
        """Subjects whose cine is rendered: the first to train on, the first to test on."""
        first = self.test_part.start
        return [*range(self.train_cines), *range(first, first + self.test_cines)]


class CineConfiguration(_Table):
    """Training of the cine decoder."""

    steps: PositiveInt
    batch: PositiveInt
    frames: PositiveInt
    learning_rate: PositiveFloat


class EcgConfiguration(_Table):
    """The ECG network and its training."""

    channels: PositiveInt
    steps: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    hide_subject: float


class TrainingConfiguration(_Table):
    """All of it."""

    seed: int
    name: str
    version: str
    cohort: CohortConfiguration
    cine: CineConfiguration
    ecg: EcgConfiguration


def read_configuration(file: Path) -> TrainingConfiguration:
    """Read a training configuration. Raises pydantic's ValidationError with every problem."""
    return TrainingConfiguration.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
