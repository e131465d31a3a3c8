"""How alike two cines look (SSIM)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Cine = NDArray[np.float32]
"""(frames, rows, columns) in [0, 1]."""
C1: Final = 0.01**2
C2: Final = 0.03**2
"""For a data range of 1. Source: Wang et al. 2004, IEEE TIP 13(4)."""


def structural_similarity(a: Cine, b: Cine) -> float:
    """Mean SSIM over all frames, Gaussian window of sigma 1.5."""

    def smooth(x: Cine) -> Cine:
        smoothed: Cine = gaussian_filter(x, sigma=(0.0, 1.5, 1.5), truncate=3.5)
        return smoothed

    mean_a, mean_b = smooth(a), smooth(b)
    variance_a = smooth(a * a) - mean_a**2
    variance_b = smooth(b * b) - mean_b**2
    covariance = smooth(a * b) - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + C1) * (2 * covariance + C2)) / (
        (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    )
    return float(similarity.mean())
