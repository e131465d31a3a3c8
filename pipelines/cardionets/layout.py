"""The layout: a few numbers that say how a whole cine is laid out, drawn together.

Tokens drawn apart from each other do not agree on where a wall is, and a heart of such tokens is a
mosaic. The leading principal components of a cine's latent say where the heart lies, how large it
is and how it beats; the decoder makes a coherent heart of any likely values of theirs. Given an
ECG they are close to Gaussian: a ridge regression gives their mean, its residuals their covariance,
both in closed form. A small flow, which starts as that Gaussian, learns how they differ from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Denoiser, HeadSize
from pipelines.flow_path import TIME_SCALE, Solver, follow

SPREAD_FLOOR = 0.02
"""Added to the spread of each value of the latent: some hardly vary."""
JITTER = 1e-4
"""Of the residuals' mean variance, added to each: their covariance must have a root."""


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
    root: Tensor
    condition_mean: Tensor
    condition_spread: Tensor

    def __init__(self, size: LayoutSize, latent: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.latent = latent
        values = latent[0] * latent[1] * latent[2] * latent[3]
        components, condition = size.components, size.condition
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("spread", torch.ones(values))
        self.register_buffer("directions", torch.zeros(components, values))
        self.register_buffer("offset", torch.zeros(components))
        self.register_buffer("slope", torch.zeros(condition, components))
        self.register_buffer("root", torch.eye(components))
        self.register_buffer("condition_mean", torch.zeros(condition))
        self.register_buffer("condition_spread", torch.ones(condition))
        self.correction = Denoiser(size.head, outputs=components)

    def fit(self, latents: Tensor, conditions: Tensor, *, penalty: float) -> None:
        """The closed forms, of latents (m, c, t, h, w) and their conditions (variants, m, C)."""
        flat = latents.flatten(1)  # (m, V)
        self.mean.copy_(flat.mean(dim=0))
        self.spread.copy_(flat.std(dim=0) + SPREAD_FLOOR)
        standard = (flat - self.mean) / self.spread
        _, _, directions = torch.svd_lowrank(standard, q=self.size.components + 16, niter=4)
        self.directions.copy_(directions[:, : self.size.components].T)
        layouts = standard @ self.directions.T  # (m, G)
        self.offset.copy_(layouts.mean(dim=0))
        every = conditions.flatten(0, 1)  # (variants * m, C)
        self.condition_mean.copy_(every.mean(dim=0))
        self.condition_spread.copy_(every.std(dim=0) + SPREAD_FLOOR)
        known = self._standard(every).double()
        wanted = (layouts - self.offset).double().repeat(len(conditions), 1)
        gram = known.T @ known + penalty * torch.eye(known.shape[1], dtype=torch.float64)
        self.slope.copy_(torch.linalg.solve(gram, known.T @ wanted))
        covariance = (wanted - known @ self.slope.double()).T.cov()  # (G, G)
        jitter = JITTER * covariance.diagonal().mean() * torch.eye(len(covariance))
        self.root.copy_(torch.linalg.cholesky(covariance + jitter))

    def layout_of(self, latents: Tensor) -> Tensor:
        """(n, c, t, h, w) to (n, G)."""
        return (latents.flatten(1) - self.mean) / self.spread @ self.directions.T

    def latent_of(self, layouts: Tensor) -> Tensor:
        """(n, G) to the latent (n, c, t, h, w) that is laid out so."""
        flat = layouts @ self.directions * self.spread + self.mean  # (n, V)
        return flat.view(-1, *self.latent)

    def expected(self, conditions: Tensor) -> Tensor:
        """The mean layout (n, G) for each condition."""
        return self.offset + self._standard(conditions) @ self.slope

    def loss(self, layouts: Tensor, conditions: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Of the flow's velocity; t (n,) in 0 … 1, noise (n, G) standard normal.

        π/2 is what the Gaussian alone reaches.
        """
        away = (layouts - self.expected(conditions)).T  # (G, n)
        white = torch.linalg.solve_triangular(self.root, away, upper=False).T  # (n, G)
        x = torch.lerp(noise, white, t[:, None])
        velocity = self._velocity(x, t, self._standard(conditions))
        return (velocity - (white - noise)).square().mean()

    def draw(self, conditions: Tensor, noise: Tensor, *, steps: int) -> Tensor:
        """Layouts (n, G) of hearts that go with the condition; noise (n, G) standard normal."""
        standard = self._standard(conditions)
        white = follow(
            lambda x, t: self._velocity(x, torch.full_like(x[:, 0], t), standard),
            noise,
            steps=steps,
            solver=Solver.HEUN,
        )
        return self.expected(conditions) + white @ self.root.T

    def _velocity(self, x: Tensor, t: Tensor, standard: Tensor) -> Tensor:
        """The velocity between two standard normals, in closed form, and the correction."""
        gain = (2.0 * t - 1.0) / (t.square() + (1.0 - t).square())  # (n,)
        return gain[:, None] * x + self.correction(x, TIME_SCALE * t, standard)

    def _standard(self, conditions: Tensor) -> Tensor:
        """Each value of the conditions (n, C) to mean 0 and spread 1."""
        return (conditions - self.condition_mean) / self.condition_spread


class ServedLayout(nn.Module):
    """What a bundle serves: condition (K, C) and noise (K, G) to the latent (K, c, t, h, w)."""

    def __init__(self, layout: Layout, steps: int) -> None:
        super().__init__()
        self.layout = layout
        self.steps = steps

    def forward(self, condition: Tensor, noise: Tensor) -> Tensor:
        return self.layout.latent_of(self.layout.draw(condition, noise, steps=self.steps))
