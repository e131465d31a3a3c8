"""Says of every patch of a cine whether it looks real: the adversary of the autoencoder.

A 3-D PatchGAN; the names are those of the published checkpoint, whose autoencoder file holds it
under `loss`.
Source: Isola et al. 2017 (PatchGAN), made three-dimensional.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SLOPE = 0.2


class Discriminator(nn.Module):
    """(n, in_channels, t, h, w) to logits (n, 1, ~t/8, ~h/8 - 2, ~w/8 - 2), positive for real."""

    def __init__(self, *, channels: int, in_channels: int = 1) -> None:
        super().__init__()
        c = channels
        self.main = nn.Sequential(
            nn.Conv3d(in_channels, c, 4, stride=2, padding=1),  # (n, c, t/2, h/2, w/2)
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(c, 2 * c, 4, stride=2, padding=1, bias=False),  # (n, 2c, t/4, h/4, w/4)
            nn.BatchNorm3d(2 * c),
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(2 * c, 4 * c, (3, 4, 4), stride=2, padding=1, bias=False),  # (n, 4c, t/8, …)
            nn.BatchNorm3d(4 * c),
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(4 * c, 8 * c, (1, 4, 4), padding=(0, 1, 1), bias=False),  # (…, h/8-1, w/8-1)
            nn.BatchNorm3d(8 * c),
            nn.LeakyReLU(_SLOPE),
            nn.Conv3d(8 * c, 1, (1, 4, 4), padding=(0, 1, 1)),  # (n, 1, t/8, h/8-2, w/8-2)
        )

    def forward(self, cine: Tensor) -> Tensor:
        return self.main(cine)


class Adversary(nn.Module):
    """What the published file keeps under `loss`: the adversary, a (fixed) log variance of L1."""

    def __init__(self, *, channels: int, in_channels: int = 1) -> None:
        super().__init__()
        self.logvar = nn.Parameter(torch.zeros(()))
        self.discriminator = Discriminator(channels=channels, in_channels=in_channels)
