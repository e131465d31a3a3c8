"""What a reader measures on many ECGs at once, without a network: the baseline of every model."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

CHUNK: Final = 256
"""ECGs in memory at once."""
QUANTILES: Final = np.array(
    [0.002, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.975, 0.99, 0.998]
)
"""Of a lead's samples in order of size."""
FIRST_BIN, LAST_BIN, BINS_IN_BAND = 5, 401, 33
"""Of the spectrum: in a window of 10 s a bin is 0.1 Hz, so 12 bands from 0.5 to 40 Hz."""
PENALTY: Final = 300.0
"""Of a ridge regression on the features, for tens of thousands of ECGs."""
QUIET_MV2: Final = 1e-6
"""Added to a band's power: a flat lead has a logarithm too."""


def ecg_features(
    ecg: NDArray[np.floating[Any]], heart_rate: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """(n, 505) of (n, 12, window) conditioned ECGs and their rates a minute.

    How large each lead gets and how steep (quantiles), its power in 12 bands, and the rate. A ridge
    regression on them with `PENALTY` reads heart size about as well as networks are published to.
    """
    n, leads, _ = ecg.shape
    bands = (LAST_BIN - FIRST_BIN) // BINS_IN_BAND
    features = np.empty((n, leads * (2 * QUANTILES.size + bands) + 1), np.float32)
    for start in range(0, n, CHUNK):
        part = slice(start, min(start + CHUNK, n))
        signal = np.asarray(ecg[part], np.float32)
        features[part, :-1] = np.concatenate(
            [
                f.reshape(len(signal), -1)
                for f in (
                    _quantiles(signal),
                    _quantiles(np.diff(signal, axis=2)),
                    _band_power(signal),
                )
            ],
            axis=1,
        )
    features[:, -1] = heart_rate
    return features


def _quantiles(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    places = np.rint(QUANTILES * (signal.shape[2] - 1)).astype(np.int64)
    return np.sort(signal, axis=2)[:, :, places]


def _band_power(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    power = np.abs(np.fft.rfft(signal, axis=2)[:, :, FIRST_BIN:LAST_BIN]) ** 2
    bands = power.reshape(*signal.shape[:2], -1, BINS_IN_BAND).mean(axis=3)
    levels: NDArray[np.float32] = np.log(bands + QUIET_MV2).astype(np.float32)
    return levels
