"""A cine of any scanner as a training set stores it: one heart beat in FRAMES frames."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import UnusableData
from pipelines.datasets.cine_series import cut_view
from pipelines.datasets.recording import AcquiredCine
from pipelines.datasets.training_set import FRAMES, SIZE

FEWEST_FRAMES: Final = 15
"""Of a beat of 1 s one each 67 ms: with fewer, the end of systole falls between two frames."""


def stored_cine(cine: AcquiredCine) -> NDArray[np.uint8]:
    """(FRAMES, SIZE, SIZE) as a training set holds it.

    Raises UnusableData (fewer frames than FEWEST_FRAMES, no contrast).
    """
    if len(cine.frames) < FEWEST_FRAMES:
        raise UnusableData(
            f"{len(cine.frames)} frames through the heart beat, at least {FEWEST_FRAMES} are needed"
        )
    view = cut_view(cine, size=SIZE)
    return view if len(view) == FRAMES else resample_beat(view, beat_phases(cine))


def beat_phases(cine: AcquiredCine) -> NDArray[np.float64]:
    """(n_frames,) where each frame lies in the heart beat, rising from 0 to below 1.

    The frames are taken to cover the whole beat, as of a retrospectively gated cine: the step from
    the last back to the first is as long as the others are on average.
    """
    count = len(cine.frames)
    if cine.trigger_times_ms is None:
        return np.arange(count) / count
    since_first = np.array(cine.trigger_times_ms) - cine.trigger_times_ms[0]
    phases: NDArray[np.float64] = since_first * (count - 1) / count / since_first[-1]
    return phases


def resample_beat(frames: NDArray[np.uint8], phases: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, rows, columns) at phases (n,) of a beat to (FRAMES, rows, columns), evenly spaced.

    Straight lines between neighbours in time; the last frame leads into the first.
    """
    wanted = np.arange(FRAMES) / FRAMES
    before = np.searchsorted(phases, wanted, side="right") - 1
    closed = np.append(phases, 1.0)
    share = (wanted - closed[before]) / (closed[before + 1] - closed[before])
    first, second = frames[before], frames[(before + 1) % len(frames)]
    mixed = first + share[:, None, None] * (second.astype(np.float64) - first)
    stored: NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return stored
