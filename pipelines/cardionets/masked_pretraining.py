"""Pretraining without labels: an encoder sees a part of the patches, a small decoder fills in.

Only the encoder is kept. The decoder knows where each patch lies, and of the hidden ones no more.
Idea: He et al., CVPR 2022 (masked autoencoders); Na et al., ICLR 2024 (leads and time of an ECG).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.transformer import VitBlock, initialise

_EPS: Final = 1e-6
_SPREAD_FLOOR: Final = 1e-6
"""Added to a patch's variance: a flat patch has no shape to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderSize:
    """The decoder's geometry."""

    width: int
    depth: int
    heads: int
    mlp: int
    rows_apart: bool
    """Each row of the grid is decoded alone. A row of an ECG is a lead: otherwise the decoder would
    copy III from I and II, and the encoder need not learn it."""


ECG_DECODER: Final = DecoderSize(width=256, depth=4, heads=4, mlp=1024, rows_apart=True)
CMR_DECODER: Final = DecoderSize(width=512, depth=8, heads=16, mlp=2048, rows_apart=False)


def draw_visible(batch: int, patches: int, masked: float, generator: torch.Generator) -> Tensor:
    """The patches left to see: (B, V) ascending indices, another draw for each of the batch.

    masked: share of the patches to hide; at least one stays. On the generator's device.
    """
    seen = max(1, patches - round(masked * patches))
    noise = torch.rand(batch, patches, generator=generator, device=generator.device)
    return noise.argsort(dim=1)[:, :seen].sort(dim=1).values  # (B, V)


class MaskedPretraining(nn.Module):
    """(B, …) signals and their visible patches (B, V) to every patch: (B, P, patch values).

    The signal has the encoder's full size. `loss` is what a training lowers.
    """

    def __init__(
        self,
        encoder: EcgEncoder | CmrEncoder,
        size: DecoderSize,
        *,
        normalise_targets: bool = True,
    ) -> None:
        """normalise_targets: patches are to be drawn by shape alone, each of mean 0, spread 1."""
        super().__init__()
        rows, columns = encoder.grid
        self.normalise_targets = normalise_targets
        self.encoder = encoder
        self.groups = rows if size.rows_apart else 1
        self.enter = nn.Linear(encoder.size.width, size.width)
        self.mask_token = nn.Parameter(torch.randn(size.width) * 0.02)
        self.row_places = nn.Parameter(torch.randn(rows, 1, size.width) * 0.02)
        self.column_places = nn.Parameter(torch.randn(1, columns, size.width) * 0.02)
        self.blocks = nn.ModuleList(
            VitBlock(size.width, size.heads, size.mlp, _EPS) for _ in range(size.depth)
        )
        self.norm = nn.LayerNorm(size.width, eps=_EPS)
        self.draw = nn.Linear(size.width, encoder.patch_values)
        for part in (self.enter, self.blocks, self.draw):  # the encoder may come trained
            part.apply(initialise)

    def forward(self, signal: Tensor, visible: Tensor) -> Tensor:
        known = self.enter(self.encoder.latent_of(signal, visible))  # (B, S+V, D)
        seen = visible.shape[1]
        summary, patches = known[:, :-seen], known[:, -seen:]  # S: the CMR's class token, or none
        places = (self.row_places + self.column_places).flatten(0, 1)  # (P, D)
        token = self.mask_token.to(patches.dtype)  # mixed precision makes patches of fewer bits
        hidden = token.expand(len(signal), len(places), -1)  # (B, P, D)
        index = visible[:, :, None].expand(-1, -1, places.shape[1])  # (B, V, D)
        every = hidden.scatter(1, index, patches) + places  # (B, P, D)
        return self._decode(summary, every)  # (B, P, patch values)

    def loss(self, signal: Tensor, visible: Tensor) -> Tensor:
        """Mean squared error over the hidden patches."""
        targets = self.encoder.split(signal)  # (B, P, patch values)
        if self.normalise_targets:
            variance, mean = torch.var_mean(targets, dim=2, correction=0, keepdim=True)
            targets = (targets - mean) / (variance + _SPREAD_FLOOR).sqrt()
        errors = (self(signal, visible) - targets).square().mean(dim=2)  # (B, P)
        hidden = torch.ones_like(errors).scatter(1, visible, 0.0)  # (B, P)
        return (errors * hidden).sum() / hidden.sum()

    def _decode(self, summary: Tensor, every: Tensor) -> Tensor:
        batch, count = every.shape[:2]
        rows = every.view(batch * self.groups, count // self.groups, -1)  # (B*G, P/G, D)
        x = torch.cat([summary.repeat_interleave(self.groups, dim=0), rows], dim=1)
        for block in self.blocks:
            x = block(x)  # (B*G, S+P/G, D)
        drawn = self.draw(self.norm(x[:, summary.shape[1] :]))  # (B*G, P/G, patch values)
        return drawn.view(batch, count, -1)  # (B, P, patch values)
