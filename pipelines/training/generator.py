"""Stage generator: the layout of a cine for an ECG, and the tokens that the layout leaves over."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from scipy.stats import truncnorm
from torch import Tensor, nn

from pipelines.cardionets.generator import Generator
from pipelines.cardionets.layout import Layout
from pipelines.training.stage import Batch, Stage, StageSettings, normal

MASKED_MEAN, MASKED_SPREAD, MASKED_LEAST = 1.0, 0.25, 0.7
"""Share of tokens hidden in training: a normal distribution cut to 0.7 … 1 (Li et al. 2024)."""


class GeneratorSettings(StageSettings):
    layout_batch: PositiveInt = 256
    ridge: PositiveFloat = 100.0
    dropped: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Chance that a sample is learnt without its condition, for guidance."""
    uses: PositiveInt = 4
    """How often each z, dear to make, is used by the head."""
    layout_noise: NonNegativeFloat = 0.1
    """Added to the layout that tokens are told, in its own spread: drawn ones are not exact."""
    variants: PositiveInt = 4
    hidden: float = Field(default=0.5, ge=0.0, le=1.0)


class GeneratorNetworks(nn.Module):
    """The two networks of this stage, and the spread of what the layout leaves over."""

    rest_spread: Tensor

    def __init__(self, layout: Layout, generator: Generator) -> None:
        super().__init__()
        self.layout = layout
        self.generator = generator
        self.register_buffer("rest_spread", torch.ones(layout.mean.shape))

    def fit(self, latents: Tensor, conditions: Tensor, *, penalty: float) -> None:
        """The closed-form parts: principal components, ridge, spread of the rest."""
        self.layout.fit(latents, conditions, penalty=penalty)
        drawn = self.layout.latent_of(self.layout.layout_of(latents))
        self.rest_spread.copy_((latents - drawn).flatten(1).std(dim=0) + 1e-3)

    def rest_of(self, latents: Tensor, layouts: Tensor) -> Tensor:
        """(n, c, t, h, w) in its own spread: what a layout does not say of a latent."""
        rest = latents - self.layout.latent_of(layouts)
        return (rest.flatten(1) / self.rest_spread).view_as(latents)

    def latent_of(self, layouts: Tensor, rest: Tensor) -> Tensor:
        """The inverse of `rest_of`."""
        unscaled = (rest.flatten(1) * self.rest_spread).view_as(rest)
        return self.layout.latent_of(layouts) + unscaled

    def told(self, conditions: Tensor, layouts: Tensor) -> Tensor:
        """(n, C + G) what the tokens are drawn from: the condition and the layout, standardised."""
        away = (layouts - self.layout.expected(conditions)) / self.layout.scale
        return torch.cat([self.layout.standard(conditions), away], dim=1)


class GeneratorStage(Stage):
    name: ClassVar[str] = "generator"

    def __init__(
        self,
        settings: GeneratorSettings,
        seed: int,
        networks: GeneratorNetworks,
        latents: Tensor,
        conditions: Tensor,
    ) -> None:
        """networks: fitted. latents: (m, c, t, h, w). conditions: (variants, m, C)."""
        super().__init__(settings, seed)
        self.generator_settings = settings
        self.networks = networks
        self.latents = latents
        self.conditions = conditions

    @property
    def network(self) -> nn.Module:
        return self.networks

    def batch(self, index: int) -> Batch:
        chance, settings, size = (
            self.chance(index),
            self.generator_settings,
            self.networks.generator.size,
        )
        drawn: Batch = {}
        for part, count in (("layout", settings.layout_batch), ("token", settings.batch)):
            rows = chance.integers(0, len(self.latents), count)
            variants = chance.integers(0, len(self.conditions), count)
            drawn[f"{part}_latent"] = self.latents[rows]
            drawn[f"{part}_condition"] = self.conditions[variants, rows]
        layouts = self.networks.layout.size.components
        masked = self._masked(size.tokens, chance)
        order = chance.permuted(np.tile(np.arange(size.tokens), (settings.batch, 1)), axis=1)
        draws = settings.uses * settings.batch * masked
        return drawn | {
            "layout_t": torch.from_numpy(chance.random(settings.layout_batch, dtype=np.float32)),
            "layout_noise": normal(chance, settings.layout_batch, layouts),
            "told_noise": normal(chance, settings.batch, layouts),
            "dropped": torch.from_numpy(chance.random(settings.batch) < settings.dropped),
            "known": torch.from_numpy(order[:, masked:]),
            "masked": torch.from_numpy(order[:, :masked]),
            "t": torch.from_numpy(chance.random(draws, dtype=np.float32)),
            "noise": normal(chance, draws, size.token),
        }

    def loss(self, batch: Batch) -> Tensor:
        networks, layout = self.networks, self.networks.layout
        layout_loss = layout.loss(
            layout.layout_of(batch["layout_latent"]),
            batch["layout_condition"],
            batch["layout_t"],
            batch["layout_noise"],
        )
        layouts = layout.layout_of(batch["token_latent"])  # (B, G)
        blurred = self.generator_settings.layout_noise * layout.scale * batch["told_noise"]
        layouts = layouts + blurred
        token_loss = networks.generator.loss(
            networks.rest_of(batch["token_latent"], layouts),
            networks.told(batch["token_condition"], layouts),
            batch["dropped"],
            known=batch["known"],
            masked=batch["masked"],
            t=batch["t"],
            noise=batch["noise"],
        )
        return layout_loss + token_loss

    def _masked(self, tokens: int, chance: np.random.Generator) -> int:
        """How many tokens this batch hides."""
        low = (MASKED_LEAST - MASKED_MEAN) / MASKED_SPREAD
        share = truncnorm.rvs(low, 0.0, MASKED_MEAN, MASKED_SPREAD, random_state=chance)
        return max(1, int(np.ceil(tokens * share)))
