"""Beats of one shape laid upon each other: their median has less noise than any of them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import Lead

ALIGNMENT_S: Final = 0.03
"""A beat is moved at most so far onto the others."""
ALIKE: Final = 0.85
"""Correlation with the median that a beat needs: extrasystoles stay out of it."""
CORE_S: Final = 0.11
"""On either side of the middle: what beats are laid upon each other by."""
CORE_STEP_S: Final = 0.002
INDEPENDENT: Final = tuple(
    list(Lead).index(lead) for lead in Lead if lead not in {Lead.III, Lead.AVR, Lead.AVL, Lead.AVF}
)
"""The other limb leads follow from I and II."""


def aligned_beats(
    signal: NDArray[np.float32],
    middles: NDArray[np.int64],
    *,
    frequency_hz: float,
    before_s: float,
    after_s: float,
) -> NDArray[np.float64]:
    """(beats, n, 12) windows around the beats of the usual shape, moved onto each other.

    signal: (samples, 12) in millivolts. middles: samples of the QRS complexes; beats too near an
    end of the signal are left out, so that none may be left.
    """
    before, after, slack = (round(s * frequency_hz) for s in (before_s, after_s, ALIGNMENT_S))
    inside = (middles >= before + slack) & (middles + after + slack <= len(signal))
    middles = middles[inside]
    if not len(middles):
        return np.empty((0, before + after, signal.shape[1]))
    reach = round(CORE_S * frequency_hz)
    core = np.arange(-reach, reach, max(1, round(CORE_STEP_S * frequency_hz)))
    lags = np.arange(-slack, slack + 1)
    eight = signal[:, INDEPENDENT]
    candidates = eight[middles[:, None, None] + lags[:, None] + core]  # (beats, lags, core, 8)
    candidates -= candidates.mean(axis=2, keepdims=True)
    length = np.sqrt((candidates**2).sum(axis=(2, 3)))
    chosen = np.full(len(middles), slack)
    for _ in range(2):
        shape = np.median(candidates[np.arange(len(middles)), chosen], axis=0)
        norm = length * np.sqrt((shape**2).sum()) + 1e-9
        likeness = np.einsum("blcd,cd->bl", candidates, shape) / norm
        chosen = likeness.argmax(axis=1)
    usual = (middles + lags[chosen])[likeness.max(axis=1) >= ALIKE]
    windows: NDArray[np.float64] = signal[usual[:, None] + np.arange(-before, after)].astype(
        np.float64
    )
    return windows
