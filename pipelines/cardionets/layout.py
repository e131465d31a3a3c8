"""The layout: one vector that says how a whole cine is laid out, drawn before any token of it.

Tokens drawn apart from each other do not agree on where a wall is, and a heart of such tokens is a
mosaic. So the leading principal components of the whole latent are drawn first, together: where the
heart lies, how large it is, how it beats. A ridge regression on the ECG's condition gives their
mean in closed form; a small flow draws how far this heart is from it. What the layout leaves over
is the generator's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import HeadSize
from pipelines.cardionets.flow import FlowHead
from pipelines.flow_path import Solver

SPREAD_FLOOR = 0.02
"""Added to the spread of each value of the latent: some hardly vary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSize:
    """components: of the layout; condition: width of what is known of the ECG."""

    components: int
    condition: int
    width: int
    depth: int

    @property
    def head(self) -> HeadSize:
        return HeadSize(
            token=self.components, condition=self.condition, width=self.width, depth=self.depth
        )


class Layout(nn.Module):
    """Between latents (n, c, t, h, w), layouts (n, G) and conditions (n, C); `fit` comes first."""

    mean: Tensor
    spread: Tensor
    directions: Tensor
    offset: Tensor
    slope: Tensor
    scale: Tensor
    condition_mean: Tensor
    condition_spread: Tensor

    def __init__(self, size: LayoutSize, latent: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.size = size
        values = latent[0] * latent[1] * latent[2] * latent[3]
        self.latent = latent
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("spread", torch.ones(values))
        self.register_buffer("directions", torch.zeros(size.components, values))
        self.register_buffer("offset", torch.zeros(size.components))
        self.register_buffer("slope", torch.zeros(size.condition, size.components))
        self.register_buffer("scale", torch.ones(size.components))
        self.register_buffer("condition_mean", torch.zeros(size.condition))
        self.register_buffer("condition_spread", torch.ones(size.condition))
        self.flow = FlowHead(size.head)

    def fit(self, latents: Tensor, conditions: Tensor, *, penalty: float) -> None:
        """Principal components of standardised latents, and the ridge from condition to layout."""
        flat = latents.flatten(1)  # (m, V)
        self.mean.copy_(flat.mean(dim=0))
        self.spread.copy_(flat.std(dim=0) + SPREAD_FLOOR)
        standard = (flat - self.mean) / self.spread
        _, _, directions = torch.svd_lowrank(standard, q=self.size.components + 16, niter=4)
        self.directions.copy_(directions[:, : self.size.components].T)
        layouts = standard @ self.directions.T  # (m, G)
        self.condition_mean.copy_(conditions.mean(dim=0))
        self.condition_spread.copy_(conditions.std(dim=0) + SPREAD_FLOOR)
        known = self.standard(conditions).double()  # (m, C)
        gram = known.T @ known + penalty * torch.eye(known.shape[1], dtype=torch.float64)
        self.offset.copy_(layouts.mean(dim=0))
        wanted = (layouts - self.offset).double()
        self.slope.copy_(torch.linalg.solve(gram, known.T @ wanted))
        self.scale.copy_((layouts - self.expected(conditions)).std(dim=0))

    def layout_of(self, latents: Tensor) -> Tensor:
        """(n, c, t, h, w) to (n, G)."""
        return (latents.flatten(1) - self.mean) / self.spread @ self.directions.T

    def latent_of(self, layouts: Tensor) -> Tensor:
        """(n, G) to the latent (n, c, t, h, w) that is laid out so, without the rest."""
        flat = layouts @ self.directions * self.spread + self.mean  # (n, V)
        return flat.view(-1, *self.latent)

    def expected(self, conditions: Tensor) -> Tensor:
        """The mean layout (n, G) for each condition, in closed form."""
        return self.offset + self.standard(conditions) @ self.slope

    def loss(self, layouts: Tensor, conditions: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The flow's loss; t (n,) in 0 … 1, noise (n, G) standard normal."""
        rest = (layouts - self.expected(conditions)) / self.scale  # (n, G)
        return self.flow.loss(rest, self.standard(conditions), t, noise).mean()

    def draw(self, conditions: Tensor, noise: Tensor, *, steps: int) -> Tensor:
        """Layouts (n, G) of hearts that have this ECG; noise (n, G) standard normal."""
        rest = self.flow.sample(
            self.standard(conditions), noise[:, None], steps=steps, solver=Solver.HEUN
        )
        return self.expected(conditions) + rest * self.scale

    def standard(self, conditions: Tensor) -> Tensor:
        """Each value of the conditions (n, C) to mean 0 and spread 1."""
        return (conditions - self.condition_mean) / self.condition_spread
