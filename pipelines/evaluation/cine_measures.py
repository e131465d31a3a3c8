"""How good drawn cines are: near the subject's own, sharp, steady, unlike each other.

Each measure takes cines as they are; `heart_region` crops them to where hearts move, so that a
measure can be given whole and there. Noise makes a cine sharper and less steady than the decoder of
a latent can draw: compare samples with reconstructions, not with scans.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

Cine = NDArray[np.float32]
"""(frames, rows, columns) in [0, 1]."""
Region = tuple[slice, slice]
"""Rows and columns."""

WHOLE: Final[Region] = (slice(None), slice(None))
MOVING: Final = 0.25
"""Of the largest: pixels that change as much over time belong to the heart."""


def heart_region(cines: NDArray[np.uint8]) -> Region:
    """The box around all pixels that move in the mean over (n, frames, rows, columns)."""
    spread = np.mean([cine.std(axis=0, dtype=np.float32) for cine in cines], axis=0)
    rows, columns = np.nonzero(spread >= MOVING * spread.max())
    return (
        slice(int(rows.min()), int(rows.max()) + 1),
        slice(int(columns.min()), int(columns.max()) + 1),
    )


def crop(cine: Cine, region: Region) -> Cine:
    """The region of every frame."""
    return cine[:, region[0], region[1]]


def peak_signal_to_noise_db(a: Cine, b: Cine) -> float:
    """PSNR of the whole cine for a data range of 1."""
    return float(-10.0 * np.log10(np.mean((a - b) ** 2)))


def sharpness(cine: Cine) -> float:
    """Mean length of the brightness gradient, per pixel: blur lowers it, noise raises it."""
    down, right = np.gradient(cine, axis=(1, 2))
    return float(np.hypot(down, right).mean())


def unsteadiness(cine: Cine) -> float:
    """Mean absolute second difference over time, the last frame followed by the first.

    Temporal consistency is this over that of the comparison: near 1 moves as smoothly, more
    flickers, less stands still.
    """
    second = np.roll(cine, 1, axis=0) - 2.0 * cine + np.roll(cine, -1, axis=0)
    return float(np.abs(second).mean())


def diversity(cines: NDArray[np.float32]) -> float:
    """Mean over pairs of the root mean square distance between cines (K, frames, rows, columns)."""
    pairs = combinations(range(len(cines)), 2)
    distances = [np.sqrt(np.mean((cines[a] - cines[b]) ** 2)) for a, b in pairs]
    return float(np.mean(distances))
