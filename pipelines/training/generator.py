"""Stage generator: a cine's latent token by token, drawn by a flow or the published diffusion."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from scipy.stats import truncnorm
from torch import Tensor, nn

from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.generator import Generator
from pipelines.noise_schedule import TRAINING_STEPS
from pipelines.training.latents import DrawingSettings
from pipelines.training.stage import Batch, Stage, normal

MASKED_MEAN, MASKED_SPREAD, MASKED_LEAST = 1.0, 0.25, 0.7
"""Share of tokens hidden in training: a normal distribution cut to 0.7 … 1 (Li et al. 2024)."""


class GeneratorSettings(DrawingSettings):
    head: Literal["flow", "diffusion"] = "flow"
    """What draws a token: in few steps along a flow, or as published."""
    dropped: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Chance that a sample is learnt without its condition, for guidance."""
    uses: PositiveInt = 4
    """How often each z, dear to make, is used by the head."""


class GeneratorStage(Stage):
    name: ClassVar[str] = "generator"

    def __init__(
        self,
        settings: GeneratorSettings,
        seed: int,
        generator: Generator,
        latents: Tensor,
        conditions: Tensor,
    ) -> None:
        """latents: (m, c, t, h, w) unit latents. conditions: (variants, m, C)."""
        super().__init__(settings, seed)
        self.dropped, self.uses = settings.dropped, settings.uses
        self.generator = generator
        self.latents = latents
        self.conditions = conditions

    @property
    def network(self) -> nn.Module:
        return self.generator

    def batch(self, index: int) -> Batch:
        chance, count, size = self.chance(index), self.settings.batch, self.generator.size
        rows = chance.integers(0, len(self.latents), count)
        variants = chance.integers(0, len(self.conditions), count)
        masked = _masked(size.tokens, chance)
        order = chance.permuted(np.tile(np.arange(size.tokens), (count, 1)), axis=1)
        draws = self.uses * count * masked
        return {
            "latent": self.latents[rows],
            "condition": self.conditions[variants, rows],
            "dropped": torch.from_numpy(chance.random(count) < self.dropped),
            "known": torch.from_numpy(order[:, masked:]),
            "masked": torch.from_numpy(order[:, :masked]),
            "t": self._times(draws, chance),
            "noise": normal(chance, draws, size.token),
        }

    def _times(self, draws: int, chance: np.random.Generator) -> Tensor:
        """(draws,) as the head counts them: 0 … 1 along a flow, or a step of the diffusion."""
        if isinstance(self.generator.diffloss, DiffusionHead):
            return torch.from_numpy(chance.integers(0, TRAINING_STEPS, draws))
        return torch.from_numpy(chance.random(draws, dtype=np.float32))

    def loss(self, batch: Batch) -> Tensor:
        return self.generator.loss(
            batch["latent"],
            batch["condition"],
            batch["dropped"],
            known=batch["known"],
            masked=batch["masked"],
            t=batch["t"],
            noise=batch["noise"],
        )


def _masked(tokens: int, chance: np.random.Generator) -> int:
    """How many tokens a batch hides."""
    low = (MASKED_LEAST - MASKED_MEAN) / MASKED_SPREAD
    share = truncnorm.rvs(low, 0.0, MASKED_MEAN, MASKED_SPREAD, random_state=chance)
    return max(1, int(np.ceil(tokens * share)))
