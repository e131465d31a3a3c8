"""What the generator learns from, computed once: latents of cines and conditions of their ECGs."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from pipelines.cardionets.autoencoder import Autoencoder, unit_latent
from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.phenotypes import hide
from pipelines.training.stage import StageSettings, cines, ecg_windows

CHUNK: Final = 16


class DrawingSettings(StageSettings):
    """Of a stage that learns to draw cines for conditions."""

    cines: PositiveInt | None = None
    """Training cines to learn from, at most; None: all."""
    variants: PositiveInt = 4
    """Conditions of each subject: other moments of its ECG, other fields unknown."""
    hidden: float = Field(default=0.5, ge=0.0, le=1.0)
    """Chance that a field of the subject is unknown."""


def encode_cines(autoencoder: Autoencoder, data: TrainingSet, rows: NDArray[np.int64]) -> Tensor:
    """(m, c, t, h, w) unit latents of these rows of `cine`: the posterior's mean."""
    autoencoder.eval()
    with torch.no_grad():
        parts = [
            unit_latent(
                autoencoder.encode(cines(data.cine, rows[start : start + CHUNK])[:, None])[0]
            )
            for start in range(0, len(rows), CHUNK)
        ]
    return torch.cat(parts)


def varied_conditions(
    network: EcgToPhenotypes,
    data: TrainingSet,
    subjects: NDArray[np.int64],
    *,
    variants: int,
    hidden: float,
    chance: np.random.Generator,
) -> Tensor:
    """(variants, m, C): each time another moment of the ECG, and other fields unknown."""
    network.eval()
    size = network.encoder.size
    made = torch.empty(variants, len(subjects), network.mean.in_features)
    with torch.no_grad():
        for variant in range(variants):
            for start in range(0, len(subjects), CHUNK):
                some = subjects[start : start + CHUNK]
                ecg = ecg_windows(data.ecg, some, size, chance)
                out = network(ecg, hide(data.subject[some], hidden, chance))
                made[variant, start : start + len(some)] = out.condition
    return made
