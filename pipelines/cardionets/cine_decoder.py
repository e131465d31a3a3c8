"""Draws a cine from what is known of a heart: every frame from the same anatomy, at its own phase.

The anatomy is the standardised phenotypes and heart rate, so that the picture moves as the numbers
beside it say, and one global vector keeps the heart coherent over the whole beat.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

HARMONICS = 5
SEED_CHANNELS = 16
SIZE = 96


def phase_features(phase: Tensor) -> Tensor:
    """(n,) shares of the RR interval to (n, 2 * HARMONICS): the beat is periodic."""
    angles = 2.0 * math.pi * phase[:, None] * torch.arange(1, HARMONICS + 1)  # (n, H)
    return torch.cat([angles.sin(), angles.cos()], dim=1)  # (n, 2H)


class CineDecoder(nn.Module):
    """(n, anatomy) and (n, 2 * HARMONICS) to (n, 96, 96) in [0, 1]."""

    def __init__(self, anatomy: int, width: int = 48) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Linear(anatomy + 2 * HARMONICS, 384), nn.GELU(),
            nn.Linear(384, 384), nn.GELU(),
            nn.Linear(384, SEED_CHANNELS * 12 * 12), nn.GELU(),
        )  # fmt: skip
        self.widen = nn.Conv2d(SEED_CHANNELS, width, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, width, 24, 24))
        self.coarse = nn.Sequential(_convolution(width, width), _convolution(width, width))
        self.middle = nn.Sequential(_convolution(width, width), _convolution(width, 2 * width))
        self.fine = nn.Sequential(
            _convolution(width // 2, width // 2), nn.Conv2d(width // 2, 4, 3, padding=1)
        )

    def forward(self, anatomy: Tensor, phase: Tensor) -> Tensor:
        x = self.mix(torch.cat([anatomy, phase], dim=1))  # (n, S*144)
        x = self.widen(x.view(-1, SEED_CHANNELS, 12, 12))  # (n, W, 12, 12)
        x = self.coarse(x)  # (n, W, 12, 12)
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")  # (n, W, 24, 24)
        x = functional.pixel_shuffle(self.middle(x + self.place), 2)  # (n, W/2, 48, 48)
        x = functional.pixel_shuffle(self.fine(x), 2)  # (n, 1, 96, 96)
        return torch.sigmoid(x[:, 0])


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(8, outputs), nn.GELU()
    )


class WholeCine(nn.Module):
    """The decoder over one whole beat: latent (1, anatomy) to frames (1, F, 96, 96)."""

    phases: Tensor

    def __init__(self, decoder: CineDecoder, frames: int) -> None:
        super().__init__()
        self.decoder = decoder
        self.frames = frames
        self.register_buffer("phases", phase_features(torch.arange(frames) / frames))

    def forward(self, latent: Tensor) -> Tensor:
        frames: Tensor = self.decoder(latent.expand(self.frames, -1), self.phases)  # (F, 96, 96)
        return frames[None]
