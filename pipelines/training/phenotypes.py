"""Stage phenotypes: the whole ECG network learns the phenotypes, each with its spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings, ecg_windows

SILENCE_SHARE = 0.25
"""Of ECGs that end in silence, as records shorter than the window do."""
SILENCE_SAMPLES = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """What standardises the targets, the phenotypes and then the heart rate; (T,) float32 each."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]

    def standardise(self, natural: NDArray[np.float32]) -> NDArray[np.float32]:
        return (natural - self.mean) / self.scale


def targets_of(data: TrainingSet) -> NDArray[np.float32]:
    """(n, P + 1) phenotypes and heart rate in natural units, NaN where unknown."""
    return np.concatenate([data.phenotypes, data.heart_rate[:, None]], axis=1)


def fit_scaler(data: TrainingSet) -> Scaler:
    """From the training subjects alone; a target that none of them has stays as it is."""
    train = targets_of(data)[data.statement.train_part]
    known = ~np.isnan(train).all(axis=0)
    mean, scale = np.zeros(train.shape[1], np.float32), np.ones(train.shape[1], np.float32)
    mean[known], scale[known] = (of(train[:, known], axis=0) for of in (np.nanmean, np.nanstd))
    return Scaler(mean=mean, scale=scale)


class PhenotypesSettings(StageSettings):
    hide_subject: float = Field(default=0.3, ge=0.0, le=1.0)
    """Chance that one of age, sex, height and weight is unknown; half of it hides all four."""
    labels: float = Field(default=1.0, gt=0.0, le=1.0)
    """Share of the training subjects whose phenotypes are used."""


class Phenotypes(Stage):
    name: ClassVar[str] = "phenotypes"

    def __init__(
        self,
        settings: PhenotypesSettings,
        seed: int,
        network: EcgToPhenotypes,
        data: TrainingSet,
    ) -> None:
        """network: its encoder may come pretrained and aligned."""
        super().__init__(settings, seed)
        self.hide_subject = settings.hide_subject
        self.ecg_network = network
        self.data = data
        self.wanted = torch.from_numpy(fit_scaler(data).standardise(targets_of(data)))
        part = data.statement.train_part
        self.first = part.start
        self.count = max(1, round(settings.labels * (part.stop - part.start)))

    @property
    def network(self) -> nn.Module:
        return self.ecg_network

    def batch(self, index: int) -> Batch:
        chance = self.chance(index)
        rows = self.first + chance.integers(0, self.count, self.settings.batch)
        ecg = ecg_windows(self.data.ecg, rows, self.ecg_network.encoder.size, chance)
        return {
            "ecg": silence(ecg, chance),
            "subject": hide(self.data.subject[rows], self.hide_subject, chance),
            "wanted": self.wanted[rows],
        }

    def loss(self, batch: Batch) -> Tensor:
        out = self.ecg_network(batch["ecg"], batch["subject"])
        return likelihood_loss(out.mean.float(), out.log_variance.float(), batch["wanted"])


def likelihood_loss(mean: Tensor, log_variance: Tensor, wanted: Tensor) -> Tensor:
    """Gaussian likelihood; the squared error beside it keeps a gradient for hard targets.

    Unknown (NaN) targets count nothing.
    """
    known = ~wanted.isnan()  # (B, T)
    square = (mean - wanted.nan_to_num()).square()
    likelihood = 0.5 * (square * (-log_variance).exp() + log_variance)
    return ((likelihood + square) * known).sum() / known.sum().clamp(min=1)


def silence(ecg: Tensor, chance: np.random.Generator) -> Tensor:
    """Some ECGs (B, 12, T) end in silence, by up to a second."""
    for row in np.nonzero(chance.random(len(ecg)) < SILENCE_SHARE)[0]:
        ecg[row, :, ecg.shape[2] - int(chance.integers(1, SILENCE_SAMPLES)) :] = 0.0
    return ecg


def hide(subject: NDArray[np.float32], share: float, chance: np.random.Generator) -> Tensor:
    """(B, 8) with fields made unknown by chance, each alone and sometimes all four."""
    known = chance.random((len(subject), 4)) >= share
    known &= chance.random((len(subject), 1)) >= share / 2.0
    return torch.from_numpy(subject * np.repeat(known, 2, axis=1).astype(np.float32))
