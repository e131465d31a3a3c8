"""A small U-Net that shades a structure in a picture: each pixel's share inside it."""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

FOLD = 2
"""Pixels a side that become channels at the entrance: shares come at half the resolution."""


class SegmenterSize(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: PositiveInt = 24
    multipliers: tuple[PositiveInt, ...] = (1, 2, 3)
    """Channels of each level over `channels`; each level halves the resolution."""
    groups: PositiveInt = 8
    """Of group norm: batches and single pictures are treated alike."""


class Segmenter(nn.Module):
    """(B, H, W) in [0, 1] to logits (B, H/2, W/2)."""

    def __init__(self, size: SegmenterSize) -> None:
        super().__init__()
        widths = [size.channels * each for each in size.multipliers]
        self.entrance = nn.Conv2d(FOLD**2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            _block(before, width, size.groups)
            for before, width in zip([widths[0], *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(
            _block(below + width, width, size.groups)
            for width, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.exit = nn.Conv2d(widths[0], 1, 1)

    def forward(self, picture: Tensor) -> Tensor:
        x = functional.pixel_unshuffle(2.0 * picture[:, None] - 1.0, FOLD)  # (B, 4, H/2, W/2)
        x = self.entrance(x)  # (B, C, H/2, W/2)
        seen: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if level else x)  # (B, C_l, H/2^l, W/2^l)
            seen.append(x)
        for block, beside in zip(self.up, seen[-2::-1], strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, beside], dim=1))  # (B, C_l, H/2^l, W/2^l)
        logits: Tensor = self.exit(x)[:, 0]  # (B, H/2, W/2)
        return logits


def _block(before: int, width: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, padding=1, bias=False),
        nn.GroupNorm(groups, width),
        nn.SiLU(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.GroupNorm(groups, width),
        nn.SiLU(),
    )
