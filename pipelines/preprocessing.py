"""Versioned recipes from an ECG record to a network's input, for training and serving alike.

A recipe, once named by a bundle, never changes: a better one gets a new name.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.errors import PredictionError
from node.ecg.conditioning import fill_gaps, resample


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All numbers of one way to condition an ECG."""

    name: str
    sampling_frequency_hz: float
    window_s: float
    minimum_duration_s: float
    """Shorter records are refused; between this and `window_s` the end is silence."""
    high_pass_hz: float
    low_pass_hz: float
    limit_mv: float
    """Larger deflections are cut off: no heart makes them."""

    @property
    def window_samples(self) -> int:
        return round(self.window_s * self.sampling_frequency_hz)


RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        "cardionode-1": Recipe(
            name="cardionode-1",
            sampling_frequency_hz=250.0,
            window_s=10.0,
            minimum_duration_s=9.0,
            high_pass_hz=0.67,  # AHA/ACC/HRS 2007: a zero-phase filter may cut this high
            low_pass_hz=40.0,
            limit_mv=6.0,
        )
    }
)

_EDGE_S = 2.0
_WINDOW_STEP_S = 0.5


def condition(record: ECGRecord, recipe: Recipe) -> NDArray[np.float32]:
    """The network's input: (12, window_samples) float32 millivolts, leads in standard order.

    Gaps are bridged, the whole record is resampled and filtered, and only then the window is
    taken, so that filters swing out at the record's ends and not inside the window. The scale
    stays millivolts: voltage is evidence.
    Raises PredictionError (not all twelve leads, or shorter than the recipe's minimum).
    """
    if record.leads != STANDARD_LEADS:
        raise PredictionError("the ECG has not all twelve leads: the quality gate must refuse it")
    if record.duration_s < recipe.minimum_duration_s - 0.01:
        raise PredictionError(
            f"the ECG is shorter than {recipe.minimum_duration_s:g} s: "
            "the quality gate must refuse it"
        )
    gaps = np.isnan(record.samples).any(axis=1)
    signal = resample(
        fill_gaps(record.samples), record.sampling_frequency_hz, recipe.sampling_frequency_hz
    )
    signal = np.clip(filter_band(signal, recipe), -recipe.limit_mv, recipe.limit_mv)
    start = _window_start(np.asarray(gaps), record.sampling_frequency_hz, recipe)
    first = round(start * recipe.sampling_frequency_hz)
    window = signal[first : first + recipe.window_samples]
    padding = recipe.window_samples - window.shape[0]
    padded = np.pad(window, ((0, padding), (0, 0)))
    return np.ascontiguousarray(padded.T, dtype=np.float32)


def subject_vector(subject: Subject) -> NDArray[np.float32]:
    """(8,) float32: known flag and standardised value of age, sex, height and weight.

    Sex is +1 male, −1 female. What is not known is 0, and its flag too. Centres and spreads are
    those of the simulated population.
    """
    sex = {"M": 1.0, "F": -1.0}.get(subject.sex or "")
    traits = (
        (subject.age_years, 58.0, 14.0),
        (sex, 0.0, 1.0),
        (subject.height_cm, 169.5, 9.5),
        (subject.weight_kg, 77.0, 15.0),
    )
    pairs = [
        (0.0, 0.0) if value is None else (1.0, (value - centre) / spread)
        for value, centre, spread in traits
    ]
    return np.array(pairs, dtype=np.float32).ravel()


def filter_band(samples: NDArray[np.float32], recipe: Recipe) -> NDArray[np.float64]:
    """(n_samples, n_leads) within the recipe's band, without phase shift."""
    rate = recipe.sampling_frequency_hz
    sections = np.vstack(
        [
            butter(2, recipe.high_pass_hz, "highpass", fs=rate, output="sos"),
            butter(4, recipe.low_pass_hz, "lowpass", fs=rate, output="sos"),
        ]
    )
    edge = min(round(_EDGE_S * rate), samples.shape[0] - 1)
    filtered: NDArray[np.float64] = sosfiltfilt(sections, samples, axis=0, padlen=edge)
    return filtered


def _window_start(gaps: NDArray[np.bool_], frequency_hz: float, recipe: Recipe) -> float:
    """Seconds to the first of the windows that hold the fewest bridged samples."""
    spare = gaps.size / frequency_hz - recipe.window_s
    starts = np.arange(0.0, max(spare, 0.0) + 1e-9, _WINDOW_STEP_S)
    length = round(recipe.window_s * frequency_hz)
    counts = [
        int(gaps[round(start * frequency_hz) : round(start * frequency_hz) + length].sum())
        for start in starts
    ]
    return float(starts[int(np.argmin(counts))])
