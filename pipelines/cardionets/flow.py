"""The flow head: a token drawn in a few straight steps from noise. Ours, where speed matters.

A token lies on the line x_t = (1 - t) noise + t x; the network learns the line's velocity x - noise
and drawing follows it from t = 0 to 1.
Sources: Lipman et al. 2023 (flow matching); Liu et al. 2023 (rectified flow).
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Denoiser, Guidance, HeadSize

TIME_SCALE = 1000.0
"""t of 0 … 1 spread over the periods of the time embedding, made for 1000 steps."""


class Solver(Enum):
    """How a step is taken; the second two see the velocity twice and err by the square."""

    EULER = "euler"
    HEUN = "heun"
    MIDPOINT = "midpoint"


class FlowHead(nn.Module):
    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        self.net = Denoiser(size, outputs=size.token)

    def loss(self, tokens: Tensor, z: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """(n,) mean squared error of the velocity; t in 0 … 1, noise standard normal (n, token)."""
        x = torch.lerp(noise, tokens, t[:, None])  # (n, token)
        velocity = self.net(x, TIME_SCALE * t, z)
        return (velocity - (tokens - noise)).square().mean(dim=1)

    def sample(
        self,
        z: Tensor,
        noise: Tensor,
        guidance: Guidance | None = None,
        *,
        steps: int,
        solver: Solver = Solver.EULER,
    ) -> Tensor:
        """Tokens (n, token) for z (n, W); noise (n, 1, token)."""
        x = noise[:, 0]  # (n, token)
        width = 1.0 / steps
        for step in range(steps):
            x = self._step(x, step * width, width, z, guidance, solver)
        return x

    def _step(
        self,
        x: Tensor,
        t: float,
        width: float,
        z: Tensor,
        guidance: Guidance | None,
        solver: Solver,
    ) -> Tensor:
        first = self._velocity(x, t, z, guidance)
        if solver is Solver.EULER:
            return x + width * first
        if solver is Solver.MIDPOINT:
            halfway = x + 0.5 * width * first
            return x + width * self._velocity(halfway, t + 0.5 * width, z, guidance)
        second = self._velocity(x + width * first, t + width, z, guidance)
        return x + 0.5 * width * (first + second)

    def _velocity(self, x: Tensor, t: float, z: Tensor, guidance: Guidance | None) -> Tensor:
        times = torch.full_like(x[:, 0], TIME_SCALE * t)  # (n,)
        return self.net.guided(x, times, z, guidance)
