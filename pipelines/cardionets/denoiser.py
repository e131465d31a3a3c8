"""The network inside both heads: one noisy token, its time and the trunk's z to an estimate.

A perceptron whose every block is shifted, scaled and gated by time and z. Names are those of the
published checkpoint.
Sources: Li et al. 2024 (MAR, diffusion loss); Peebles & Xie 2023 (adaptive layer norm).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FREQUENCIES = 128
LONGEST_PERIOD = 10_000.0
NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSize:
    """token: values of a token; condition: width of z; width, depth: of the perceptron."""

    token: int
    condition: int
    width: int
    depth: int


class Guidance(NamedTuple):
    """Classifier-free guidance: z without the condition (n, W), and how far to go beyond it."""

    null_z: Tensor
    scale: float


def timestep_embedding(t: Tensor, dtype: torch.dtype) -> Tensor:
    """(n,) times to (n, 2 * FREQUENCIES): cosines, then sines, of ever longer periods."""
    precise = torch.promote_types(dtype, torch.float32)  # angles reach 999: too many for half
    ranks = torch.arange(FREQUENCIES, dtype=precise, device=t.device)
    frequencies = torch.exp(-math.log(LONGEST_PERIOD) * ranks / FREQUENCIES)  # (F,)
    angles = t.to(precise)[:, None] * frequencies  # (n, F)
    return torch.cat([angles.cos(), angles.sin()], dim=1).to(dtype)  # (n, 2F)


def guide(conditional: Tensor, null: Tensor, scale: float, token: int) -> Tensor:
    """The estimate, an output's first `token` values, goes from null beyond conditional.

    What else the network says (its variance) stays the conditional one's.
    """
    away = conditional[:, :token] - null[:, :token]
    return torch.cat([null[:, :token] + scale * away, conditional[:, token:]], dim=1)


class Denoiser(nn.Module):
    """(n, token), (n,) times and (n, condition) to (n, outputs)."""

    def __init__(self, size: HeadSize, *, outputs: int) -> None:
        super().__init__()
        self.time_embed = _TimeEmbedding(size.width)
        self.cond_embed = nn.Linear(size.condition, size.width)
        self.input_proj = nn.Linear(size.token, size.width)
        self.res_blocks = nn.ModuleList(_Block(size.width) for _ in range(size.depth))
        self.final_layer = _FinalLayer(size.width, outputs)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        h = self.input_proj(x)  # (n, width)
        y = self.time_embed(t, x.dtype) + self.cond_embed(z)  # (n, width)
        for block in self.res_blocks:
            h = block(h, y)
        return self.final_layer(h, y)  # (n, outputs)

    def guided(self, x: Tensor, t: Tensor, z: Tensor, guidance: Guidance | None) -> Tensor:
        """As `forward`, with guidance if any."""
        if guidance is None:
            return self(x, t, z)
        both = self(x.repeat(2, 1), t.repeat(2), torch.cat([z, guidance.null_z]))  # (2n, outputs)
        conditional, null = both.chunk(2)
        return guide(conditional, null, guidance.scale, x.shape[1])


class _TimeEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, t: Tensor, dtype: torch.dtype) -> Tensor:
        return self.mlp(timestep_embedding(t, dtype))  # (n, width)


def _modulation(width: int, parts: int) -> nn.Sequential:
    """(n, width) to (n, parts * width). Zero at the start of a training: no part has an effect."""
    linear = nn.Linear(width, parts * width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.SiLU(), linear)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_ln = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.adaLN_modulation = _modulation(width, 3)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        shift, scale, gate = self.adaLN_modulation(y).chunk(3, dim=1)  # (n, width) each
        return h + gate * self.mlp(self.in_ln(h) * (1.0 + scale) + shift)


class _FinalLayer(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.adaLN_modulation = _modulation(width, 2)

    def forward(self, h: Tensor, y: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(y).chunk(2, dim=1)  # (n, width) each
        normed = functional.layer_norm(h, h.shape[-1:], eps=NORM_EPS)
        return self.linear(normed * (1.0 + scale) + shift)  # (n, outputs)
