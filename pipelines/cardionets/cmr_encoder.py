"""The CMR encoder: a vision transformer over one cine whose frames are the channels of one image.

Published: Ding et al., NEJM AI 2026;3(4): ViT-B/16 over 50 frames of 96 x 96.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.cardionets.transformer import VitBlock, initialise

_EPS: Final = 1e-6


def condition_cine(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The encoder's input from stored pixels (rows, columns, frames): (frames, rows, columns).

    0 … 255 become −1 … 1.
    """
    scaled = (pixels / 127.5 - 1.0).astype(np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class CmrEncoderSize:
    """The encoder's geometry; `side` and `patch` in pixels."""

    frames: int
    side: int
    patch: int
    width: int
    depth: int
    heads: int
    mlp: int

    def __post_init__(self) -> None:
        if self.side % self.patch:
            raise ValueError("side must be a whole number of patches")


PUBLISHED: Final = CmrEncoderSize(
    frames=50, side=96, patch=16, width=768, depth=12, heads=12, mlp=3072
)


class CmrEncoder(nn.Module):
    """(B, frames, side, side) in [−1, 1] to what `head` makes of the class token (B, W).

    Without a head the class token itself is given.
    """

    def __init__(self, size: CmrEncoderSize, head: nn.Module | None = None) -> None:
        super().__init__()
        self.size = size
        patches = (size.side // size.patch) ** 2
        self.cls_token = nn.Parameter(torch.randn(1, 1, size.width) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + patches, size.width) * 0.02)
        self.patch_embed = _PatchEmbedding(size)
        self.blocks = nn.ModuleList(
            VitBlock(size.width, size.heads, size.mlp, _EPS) for _ in range(size.depth)
        )
        self.norm = nn.LayerNorm(size.width, eps=_EPS)  # stored in the published file, never used
        self.apply(initialise)
        self.head = nn.Identity() if head is None else head

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.size.side // self.size.patch, self.size.side // self.size.patch

    @property
    def patch_values(self) -> int:
        return self.size.frames * self.size.patch**2

    def forward(self, cine: Tensor) -> Tensor:
        return self.head(self.feature(self.latent(cine)))

    def split(self, cine: Tensor) -> Tensor:
        """The patches (B, N, frames * patch * patch), row by row, each through all frames."""
        (rows, columns), p = self.grid, self.size.patch
        cut = cine.reshape(len(cine), -1, rows, p, columns, p)  # (B, F, rows, p, columns, p)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, N, F*p*p)

    def tokens(self, cine: Tensor) -> Tensor:
        """Patches at their places, row by row, behind the class token: (B, 1 + N, W)."""
        patches = self.patch_embed(cine)  # (B, N, W)
        cls = self.cls_token.expand(len(cine), -1, -1)  # (B, 1, W)
        return torch.cat([cls, patches], dim=1) + self.pos_embed  # (B, 1+N, W)

    def latent(self, cine: Tensor) -> Tensor:
        """What the blocks make of class token and patches: (B, 1 + N, W)."""
        return self._attend(self.tokens(cine))

    def latent_of(self, cine: Tensor, visible: Tensor) -> Tensor:
        """The patches `visible` (B, V) of `split`'s order, encoded as if no other were there.

        Behind the class token: (B, 1 + V, W).
        """
        tokens = self.tokens(cine)  # (B, 1+N, W)
        index = visible[:, :, None].expand(-1, -1, tokens.shape[2])  # (B, V, W)
        seen = tokens[:, 1:].gather(1, index)  # (B, V, W)
        return self._attend(torch.cat([tokens[:, :1], seen], dim=1))  # (B, 1+V, W)

    def feature(self, latent: Tensor) -> Tensor:
        """The class token (B, W), without a norm, as published."""
        return latent[:, 0]

    def _attend(self, tokens: Tensor) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class _PatchEmbedding(nn.Module):
    """(B, frames, side, side) to (B, N, W), row by row."""

    def __init__(self, size: CmrEncoderSize) -> None:
        super().__init__()
        self.proj = nn.Conv2d(size.frames, size.width, size.patch, stride=size.patch)

    def forward(self, cine: Tensor) -> Tensor:
        return self.proj(cine).flatten(2).transpose(1, 2)  # (B, N, W)
