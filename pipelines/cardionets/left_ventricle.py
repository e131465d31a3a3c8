"""Volumes of the left ventricle measured on a cine's pixels: a meter no generator has seen.

A segmenter shades the cavity in each frame alone; the volume follows from area and length, then
from a straight line fitted on true cines. It knows neither ECG nor latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label, median_filter
from torch import nn

from pipelines.cardionets.segmenter import FOLD, Segmenter, SegmenterSize

Array = NDArray[np.float64]
Shares = NDArray[np.float32]
"""(frames, rows, columns): of each pixel inside the cavity."""
EDGE_PIXELS: Final = 2
"""Around the pool, where shares fade out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volumes:
    """Of one beat: at end-diastole, which is the first frame, and smallest; NaN without a pool."""

    end_diastolic_ml: float
    end_systolic_ml: float

    @property
    def ejection_fraction(self) -> float:
        """Percent."""
        return 100.0 * (1.0 - self.end_systolic_ml / self.end_diastolic_ml)


class VentricleMeter(nn.Module):
    """The segmenter with its calibration: true = slope x raw + intercept (mL)."""

    slope: torch.Tensor
    intercept: torch.Tensor
    pixel_mm: torch.Tensor
    """Side of a pixel of the cines it is used on."""

    def __init__(self, size: SegmenterSize, pixel_mm: float) -> None:
        super().__init__()
        self.segmenter = Segmenter(size)
        self.register_buffer("slope", torch.ones((), dtype=torch.float64))
        self.register_buffer("intercept", torch.zeros((), dtype=torch.float64))
        self.register_buffer("pixel_mm", torch.tensor(pixel_mm, dtype=torch.float64))

    @torch.no_grad()
    def shares(self, cine: NDArray[np.float32]) -> Shares:
        """(frames, rows / 2, columns / 2) of a cine (frames, rows, columns) in [0, 1]."""
        found: Shares = self.segmenter(torch.from_numpy(cine)).float().sigmoid().numpy()
        return found

    def raw_ml(self, cine: NDArray[np.float32]) -> Array:
        """(frames,) before calibration."""
        return area_length_ml(self.shares(cine), FOLD * float(self.pixel_mm))

    def calibrate(self, raw_ml: Array, true_ml: Array) -> None:
        """Fit the straight line."""
        slope, intercept = np.polyfit(raw_ml, true_ml, 1)
        self.slope.fill_(slope)
        self.intercept.fill_(intercept)

    def measure(self, cine: NDArray[np.float32]) -> Volumes:
        """Of one beat (frames, rows, columns) in [0, 1] that begins at end-diastole."""
        first, smallest = ends(self.raw_ml(cine)) * float(self.slope) + float(self.intercept)
        return Volumes(end_diastolic_ml=float(first), end_systolic_ml=float(smallest))


def ends(volumes: Array) -> Array:
    """(2,) first and smallest of a beat's volumes, single slips set right by a median of three."""
    steady = median_filter(volumes, size=3, mode="wrap")
    return np.array([steady[0], np.nanmin(steady) if np.isfinite(steady).any() else np.nan])


def area_length_ml(shares: Shares, pixel_mm: float) -> Array:
    """(frames,) V = 8 A^2 / (3 pi L), exact for an ellipsoid of revolution; NaN without a cavity.

    L is 4 standard deviations of the area along its longest direction: that is the length of an
    ellipse, and in proportion to the length of whatever keeps its shape.
    """
    return np.array([_area_length_ml(largest_pool(frame), pixel_mm) for frame in shares])


def largest_pool(share: NDArray[np.float32]) -> NDArray[np.float32]:
    """(rows, columns) the shares of the largest connected region of more than a half."""
    regions, count = label(share > 0.5)
    if not count:
        return np.zeros_like(share)
    sizes = np.bincount(regions.ravel())
    pool = regions == 1 + int(sizes[1:].argmax())
    return np.where(binary_dilation(pool, iterations=EDGE_PIXELS), share, np.float32(0.0))


def _area_length_ml(share: NDArray[np.float32], pixel_mm: float) -> float:
    total = float(share.sum())
    if not total:
        return float("nan")
    rows, columns = np.nonzero(share)
    spread = np.cov(np.stack([rows, columns]), aweights=share[rows, columns], bias=True)
    spread = spread + np.eye(2) / 12.0  # of the pixel itself
    length_mm = 4.0 * pixel_mm * float(np.sqrt(np.linalg.eigvalsh(spread)[-1]))
    area_mm2 = total * pixel_mm**2
    return 8.0 * area_mm2**2 / (3.0 * np.pi * length_mm) / 1000.0
