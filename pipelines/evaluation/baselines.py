"""What is drawn without an ECG: the mean cine, and people of the same age, sex and build."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Cine = NDArray[np.float32]


def mean_cine(cines: NDArray[np.uint8], rows: NDArray[np.int64]) -> Cine:
    """(frames, rows, columns) in [0, 1] over these of the stored cines."""
    total = np.zeros(cines.shape[1:], dtype=np.int64)
    for row in rows:
        total += cines[row]
    return (total / (255.0 * len(rows))).astype(np.float32)


def demographic_neighbours(
    people: NDArray[np.float32], others: NDArray[np.float32], count: int
) -> NDArray[np.int64]:
    """(n, count) rows of `others`, nearest first, for each of `people`: (n, 8) subject vectors.

    By age, sex, height and weight, each in standard deviations of `others`.
    """
    scale = others[:, 1::2].std(axis=0) + np.float32(1e-6)
    theirs, ours = others[:, 1::2] / scale, people[:, 1::2] / scale
    nearest = [((theirs - one) ** 2).sum(axis=1).argsort(kind="stable")[:count] for one in ours]
    return np.stack(nearest)
