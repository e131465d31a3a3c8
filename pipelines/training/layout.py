"""Stage layout: how a cine is laid out for an ECG. Closed forms first, then the flow."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from pipelines.cardionets.layout import Layout
from pipelines.training.latents import DrawingSettings
from pipelines.training.stage import Batch, Stage, normal


class LayoutSettings(DrawingSettings):
    ridge: PositiveFloat = 100.0
    """Penalty of the regression from condition to layout."""


class LayoutStage(Stage):
    name: ClassVar[str] = "layout"

    def __init__(
        self,
        settings: LayoutSettings,
        seed: int,
        layout: Layout,
        latents: Tensor,
        conditions: Tensor,
    ) -> None:
        """latents: (m, c, t, h, w). conditions: (variants, m, C)."""
        super().__init__(settings, seed)
        layout.fit(latents, conditions, penalty=settings.ridge)
        self.layout = layout
        self.layouts = layout.layout_of(latents)
        self.conditions = conditions

    @property
    def network(self) -> nn.Module:
        return self.layout

    def batch(self, index: int) -> Batch:
        chance, count = self.chance(index), self.settings.batch
        rows = chance.integers(0, len(self.layouts), count)
        variants = chance.integers(0, len(self.conditions), count)
        return {
            "layout": self.layouts[rows],
            "condition": self.conditions[variants, rows],
            "t": torch.from_numpy(chance.random(count, dtype="float32")),
            "noise": normal(chance, count, self.layouts.shape[1]),
        }

    def loss(self, batch: Batch) -> Tensor:
        return self.layout.loss(batch["layout"], batch["condition"], batch["t"], batch["noise"])
