"""Frechet distance between two sets of cines, on the features of fixed random convolutions.

The features are not those of a network trained on photographs: distances compare sets measured
with `FEATURES`, and nothing else. Between two sets of true cines the distance is not 0 but that of
their size; print it beside.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[np.float64]
FEATURES: Final = "random-convolutions-1"
FINE, COARSE, GRID = 16, 12, 2
"""Filters of the first and of the second layer, and places a side where the second is averaged."""
SIZE: Final = FINE + COARSE * GRID**2
EVERY: Final = 2
"""Frames."""


@torch.no_grad()
def cine_features(cine: NDArray[np.float32]) -> Array:
    """(SIZE,) of a cine (frames, rows, columns) in [0, 1].

    How strongly each fine filter answers on the whole, and each coarse one in each quarter.
    """
    x = torch.from_numpy(np.ascontiguousarray(cine[::EVERY]))[None, None]  # (1, 1, F, H, W)
    fine = functional.conv3d(x, _filters(1, FINE, 1, (3, 5, 5))).abs()  # (1, 16, F-2, H-4, W-4)
    coarse = functional.conv3d(
        functional.avg_pool3d(fine, (1, 4, 4)), _filters(2, COARSE, FINE, (3, 3, 3))
    ).abs()  # (1, 12, F-4, H/4 - 3, W/4 - 3)
    quarters = functional.adaptive_avg_pool3d(coarse, (1, GRID, GRID))  # (1, 12, 1, 2, 2)
    together = torch.cat([fine.mean(dim=(0, 2, 3, 4)), quarters.flatten()])  # (64,)
    return together.double().numpy()


def frechet_distance(first: Array, second: Array) -> float:
    """Squared Frechet distance between Gaussians of the features (n, D) and (m, D).

    |mean difference|^2 + tr(A + B - 2 (A B)^(1/2)). Source: Dowson and Landau 1982, J Multivar
    Anal 12:450.
    """
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(axis=0) - second.mean(axis=0)
    values, vectors = np.linalg.eigh(np.atleast_2d(a))
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ np.atleast_2d(b) @ root), 0.0)).sum()
    return float(
        shift @ shift + np.trace(np.atleast_2d(a)) + np.trace(np.atleast_2d(b)) - 2 * common
    )


def _filters(layer: int, count: int, channels: int, size: tuple[int, int, int]) -> Tensor:
    """(count, channels, *size) of mean 0 and length 1, the same on every machine."""
    chance = np.random.Generator(np.random.Philox(key=layer))
    drawn = chance.standard_normal((count, channels, *size))
    drawn -= drawn.mean(axis=(1, 2, 3, 4), keepdims=True)
    drawn /= np.sqrt((drawn**2).sum(axis=(1, 2, 3, 4), keepdims=True))
    return torch.from_numpy(drawn.astype(np.float32))
