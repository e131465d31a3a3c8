"""The flow head: a token drawn in a few straight steps from noise. Ours, where speed matters.

A token lies on the line x_t = (1 - t) noise + t x; the network learns the line's velocity x - noise
and drawing follows it from t = 0 to 1.
Sources: Lipman et al. 2023 (flow matching); Liu et al. 2023 (rectified flow).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Denoiser, Guidance, HeadSize
from pipelines.flow_path import TIME_SCALE, Solver, follow


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

        def velocity(x: Tensor, t: float) -> Tensor:
            times = torch.full_like(x[:, 0], TIME_SCALE * t)  # (n,)
            return self.net.guided(x, times, z, guidance)

        return follow(velocity, noise[:, 0], steps=steps, solver=solver)
