"""Stage tokenizer: the autoencoder between cines and the latent that the generator draws."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from pipelines.cardionets.autoencoder import Autoencoder, AutoencoderSize
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings, cines, normal

WINDOW = 7
"""Pixels of the mean over which similarity is judged in training."""
LUMINANCE, CONTRAST = 1e-4, 9e-4
"""(0.01)² and (0.03)² of a range of 1 (Wang 2004)."""


class TokenizerSettings(StageSettings):
    similarity: NonNegativeFloat = 0.5
    """Weight of 1 − SSIM beside absolute and squared error."""
    divergence: NonNegativeFloat = 1e-6
    """Weight of the latent's KL divergence."""


class Tokenizer(Stage):
    name: ClassVar[str] = "tokenizer"

    def __init__(
        self, settings: TokenizerSettings, seed: int, size: AutoencoderSize, data: TrainingSet
    ) -> None:
        super().__init__(settings, seed)
        torch.manual_seed(seed)
        self.weights = settings
        self.data = data
        self.rows = data.cines_of(data.statement.train_part)
        self.autoencoder = Autoencoder(size)
        t, h, w = size.stride
        frames, rows, columns = data.cine.shape[1:]
        self.latent = (size.latent_channels, frames // t, rows // h, columns // w)

    @property
    def network(self) -> nn.Module:
        return self.autoencoder

    def batch(self, index: int) -> Batch:
        chance = self.chance(index)
        rows = chance.choice(self.rows, self.settings.batch)
        noise = normal(chance, len(rows), *self.latent)
        return {"cine": cines(self.data.cine, rows)[:, None], "noise": noise}

    def loss(self, batch: Batch) -> Tensor:
        cine = batch["cine"]
        drawn, posterior = self.autoencoder(cine, batch["noise"])
        drawn, weights = drawn.float(), self.weights
        error = drawn - cine
        alike = structural_similarity((drawn[:, 0] + 1.0) / 2.0, (cine[:, 0] + 1.0) / 2.0)
        return (
            error.abs().mean()
            + error.square().mean()
            + weights.similarity * (1.0 - alike)
            + weights.divergence * posterior.divergence().mean()
        )


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of frames (B, F, H, W) in [0, 1], over square windows: quick, for a loss."""

    def mean(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, WINDOW, stride=1)

    mean_a, mean_b = mean(first), mean(second)
    variance_a = mean(first * first) - mean_a.square()
    variance_b = mean(second * second) - mean_b.square()
    covariance = mean(first * second) - mean_a * mean_b
    luminance = (2.0 * mean_a * mean_b + LUMINANCE) / (
        mean_a.square() + mean_b.square() + LUMINANCE
    )
    structure = (2.0 * covariance + CONTRAST) / (variance_a + variance_b + CONTRAST)
    return (luminance * structure).mean()
