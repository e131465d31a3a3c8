"""ECG and generated CMR read together: phenotypes or a disease from both.

Published: Ding et al., NEJM AI 2026;3(4): four blocks of eight heads over both latents.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

import torch
from torch import Tensor, nn

from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.transformer import VitBlock

_EPS: Final = 1e-5


class Branch(Enum):
    """How the two latents become one vector; both branches' parameters are in every file."""

    BLOCKS = "blocks"
    """Tokens of both attend to each other; their mean."""
    GATE = "gate"
    """One layer over both pooled vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionSize:
    """The geometry of the fusion itself; its width is that of the encoders."""

    depth: int
    heads: int
    mlp: int


PUBLISHED: Final = FusionSize(depth=4, heads=8, mlp=3072)


class EcgCmrFusion(nn.Module):
    """(B, leads, T) and (B, frames, side, side) to what `head` makes of the joint feature (B, W).

    Both encoders have the same width. Their own heads, where they have one, are not asked.
    """

    def __init__(
        self,
        ecg_model: EcgEncoder,
        cmr_model: CmrEncoder,
        head: nn.Module,
        size: FusionSize,
        branch: Branch = Branch.BLOCKS,
    ) -> None:
        super().__init__()
        width = ecg_model.size.width
        if cmr_model.size.width != width:
            raise ValueError("both encoders must have the same width")
        self.branch = branch
        self.ecg_model = ecg_model
        self.cmr_model = cmr_model
        self.blocks = nn.ModuleList(
            VitBlock(width, size.heads, size.mlp, _EPS) for _ in range(size.depth)
        )
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.gate = nn.Sequential(nn.Linear(2 * width, width), nn.GELU())
        self.head = head

    def forward(self, ecg: Tensor, cine: Tensor) -> Tensor:
        ecg_latent = self.ecg_model.latent(ecg)  # (B, L, n, W)
        cmr_latent = self.cmr_model.latent(cine)  # (B, 1+N, W)
        join = self.attended if self.branch is Branch.BLOCKS else self.gated
        return self.head(self.norm(join(ecg_latent, cmr_latent)))

    def tokens(self, ecg_latent: Tensor, cmr_latent: Tensor) -> Tensor:
        """Mean of the leads, then class token and patches of the CMR: (B, n + 1 + N, W)."""
        return torch.cat([ecg_latent.mean(dim=1), cmr_latent], dim=1)  # (B, n+1+N, W)

    def attended(self, ecg_latent: Tensor, cmr_latent: Tensor) -> Tensor:
        """The mean of all tokens after the blocks: (B, W)."""
        tokens = self.tokens(ecg_latent, cmr_latent)  # (B, n+1+N, W)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens.mean(dim=1)  # (B, W)

    def gated(self, ecg_latent: Tensor, cmr_latent: Tensor) -> Tensor:
        """One layer over the ECG's mean and the CMR's class token: (B, W)."""
        pooled = ecg_latent.mean(dim=(1, 2))  # (B, W)
        return self.gate(torch.cat([pooled, self.cmr_model.feature(cmr_latent)], dim=1))  # (B, W)
