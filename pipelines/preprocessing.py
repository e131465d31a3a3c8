"""Versioned recipes from an ECG record to a network's input, for training and serving alike.

A recipe, once named by a bundle, never changes: a better one gets a new name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.errors import PredictionError
from node.ecg.beats import detect_beats
from node.ecg.conditioning import butterworth, fill_gaps, resample
from node.ecg.median_beat import INDEPENDENT, aligned_beats

_EDGE_S = 2.0
_WINDOW_STEP_S = 0.5
_FLAT_MV = 1e-6
"""A thousandth of the finest recorder's step: what filters leave of a straight line."""
_FINE = 2
"""Beats are laid upon each other in steps of half a sample."""
_SHIFT_S = 0.06
"""Furthest from a detected beat to the middle of its QRS complex."""
_QRS_S = 0.16
"""Around the detected beat: all but the widest QRS complexes, and neither P nor T wave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(ABC):
    """All numbers of one way to condition an ECG, and the way."""

    name: str
    sampling_frequency_hz: float
    window_s: float
    minimum_duration_s: float
    """Shorter records are refused."""
    high_pass_hz: float
    low_pass_hz: float
    beat_s: float = 0.0
    """Of a beat in front of the window; 0 is none."""

    @property
    def beat_samples(self) -> int:
        return round(self.beat_s * self.sampling_frequency_hz)

    @property
    def window_samples(self) -> int:
        """Of the network's input: the beat, if there is one, and the window."""
        return self.beat_samples + round(self.window_s * self.sampling_frequency_hz)

    @abstractmethod
    def window(self, record: ECGRecord) -> NDArray[np.float64]:
        """(window_samples, 12) of a record with all leads and the minimum duration.

        Raises PredictionError (a record this recipe can make nothing of).
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class MillivoltRecipe(Recipe):
    """Millivolts stay: voltage is evidence.

    Gaps are bridged, the whole record is resampled and filtered, and only then the window is
    taken, so that filters swing out at the record's ends and not inside the window. Where a record
    is shorter than the window, the end is silence.
    """

    limit_mv: float
    """Larger deflections are cut off: no heart makes them."""

    def window(self, record: ECGRecord) -> NDArray[np.float64]:
        gaps = np.isnan(record.samples).any(axis=1)
        whole = resample(
            fill_gaps(record.samples), record.sampling_frequency_hz, self.sampling_frequency_hz
        )
        whole = np.clip(self._filter(whole), -self.limit_mv, self.limit_mv)
        start = _window_start(np.asarray(gaps), record.sampling_frequency_hz, self)
        first = round(start * self.sampling_frequency_hz)
        length = round(self.window_s * self.sampling_frequency_hz)
        window = whole[first : first + length]
        return np.pad(window, ((0, length - window.shape[0]), (0, 0)))

    def _filter(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n_samples, n_leads) within the band, without phase shift."""
        rate = self.sampling_frequency_hz
        sections = np.vstack(
            [
                butterworth(2, self.high_pass_hz, "highpass", rate),
                butterworth(4, self.low_pass_hz, "lowpass", rate),
            ]
        )
        edge = min(round(_EDGE_S * rate), samples.shape[0] - 1)
        filtered: NDArray[np.float64] = signal.sosfiltfilt(sections, samples, axis=0, padlen=edge)
        return filtered


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatFirstRecipe(MillivoltRecipe):
    """The median beat of the window, its QRS complex always in the same place, and then the window.

    A network need not find the beats first: it learns as much from far fewer ECGs. A window without
    a whole beat has silence in front.
    """

    qrs_s: float
    """From the beat's first sample to the middle of its QRS complex."""

    def window(self, record: ECGRecord) -> NDArray[np.float64]:
        window = MillivoltRecipe.window(self, record)
        return np.concatenate([self._beat(window), window])

    def _beat(self, window: NDArray[np.float64]) -> NDArray[np.float64]:
        """(beat_samples, 12) of a window (n, 12)."""
        rate, fine = self.sampling_frequency_hz, _FINE * self.sampling_frequency_hz
        found = detect_beats(
            ECGRecord(
                samples=window.astype(np.float32),
                leads=STANDARD_LEADS,
                sampling_frequency_hz=rate,
            )
        )
        beats = aligned_beats(
            signal.resample_poly(window, _FINE, 1, axis=0).astype(np.float32),
            _FINE * found,
            frequency_hz=fine,
            before_s=self.qrs_s + _SHIFT_S,
            after_s=self.beat_s - self.qrs_s + _SHIFT_S,
        )
        if not len(beats):
            return np.zeros((self.beat_samples, 12))
        beat = np.median(beats, axis=0)
        first = _qrs_middle(beat, self.qrs_s + _SHIFT_S, fine) - round(self.qrs_s * fine)
        return beat[first::_FINE][: self.beat_samples]


@dataclass(frozen=True, slots=True, kw_only=True)
class StandardisedRecipe(Recipe):
    """The published networks' input. Millivolts are lost: one mean and one spread are divided out.

    The whole record is resampled through its spectrum, cut to a fixed window, and only then
    filtered, so that filters swing inside the window: as those networks were trained.
    The published evaluation means over windows from samples 0, 125 and 250; its generator drew the
    first sample at random.
    Source: Ding et al., NEJM AI 2026;3(4), and its code (github Yukui-1999/ECG-CMR, 14ca8af).
    """

    first_sample: int
    """Of the window, at the recipe's sampling frequency."""

    def window(self, record: ECGRecord) -> NDArray[np.float64]:
        filtered = self.filtered(record)
        spread = filtered.std()
        if spread < _FLAT_MV:
            raise PredictionError("the ECG is flat: the quality gate must refuse it")
        standardised: NDArray[np.float64] = (filtered - filtered.mean()) / spread
        return standardised

    def filtered(self, record: ECGRecord) -> NDArray[np.float64]:
        """(window_samples, 12) mV: the window within the band, without phase shift."""
        window = self.resampled(record)[self.first_sample :][: self.window_samples]
        for sections in (self.high_pass(), self.low_pass()):
            window = signal.sosfiltfilt(sections, window, axis=0)
        return window

    def resampled(self, record: ECGRecord) -> NDArray[np.float64]:
        """(n_samples, 12) mV of the whole record, gaps bridged, at the recipe's frequency."""
        ratio = self.sampling_frequency_hz / record.sampling_frequency_hz
        filled = fill_gaps(record.samples).astype(np.float64)
        whole: NDArray[np.float64] = signal.resample(filled, round(len(filled) * ratio), axis=0)
        return whole

    def high_pass(self) -> NDArray[np.float64]:
        """Second-order sections of the Butterworth filter of order 5."""
        return butterworth(5, self.high_pass_hz, "highpass", self.sampling_frequency_hz)

    def low_pass(self) -> NDArray[np.float64]:
        """As `high_pass`."""
        return butterworth(5, self.low_pass_hz, "lowpass", self.sampling_frequency_hz)


RECIPES: MappingProxyType[str, Recipe] = MappingProxyType(
    {
        "cardionode-1": MillivoltRecipe(
            name="cardionode-1",
            sampling_frequency_hz=250.0,
            window_s=10.0,
            minimum_duration_s=9.0,
            high_pass_hz=0.67,  # AHA/ACC/HRS 2007: a zero-phase filter may cut this high
            low_pass_hz=40.0,
            limit_mv=6.0,
        ),
        "cardionode-2": BeatFirstRecipe(
            name="cardionode-2",
            sampling_frequency_hz=250.0,
            window_s=10.0,
            minimum_duration_s=9.0,
            high_pass_hz=0.67,
            low_pass_hz=40.0,
            limit_mv=6.0,
            beat_s=1.2,  # four patches of 300 ms
            qrs_s=0.45,
        ),
        "published-1": StandardisedRecipe(
            name="published-1",
            sampling_frequency_hz=250.0,
            window_s=9.0,
            minimum_duration_s=10.0,  # 0.5 s on either side of the window
            high_pass_hz=0.67,
            low_pass_hz=40.0,
            first_sample=125,
        ),
    }
)


def condition(record: ECGRecord, recipe: Recipe) -> NDArray[np.float32]:
    """The network's input: (12, window_samples) float32, leads in standard order.

    In the unit that the recipe leaves.
    Raises PredictionError (not all twelve leads, or shorter than the recipe's minimum).
    """
    if record.leads != STANDARD_LEADS:
        raise PredictionError("the ECG has not all twelve leads: the quality gate must refuse it")
    if record.duration_s < recipe.minimum_duration_s - 0.01:
        raise PredictionError(
            f"the ECG is shorter than {recipe.minimum_duration_s:g} s: "
            "the quality gate must refuse it"
        )
    return np.ascontiguousarray(recipe.window(record).T, dtype=np.float32)


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


def _qrs_middle(beat: NDArray[np.float64], about_s: float, frequency_hz: float) -> int:
    """Sample of the QRS complex's centre of energy in a beat (n, 12) that has it near `about_s`."""
    middle, near = round(about_s * frequency_hz), round(_QRS_S / 2 * frequency_hz)
    energy = (np.gradient(beat[:, INDEPENDENT], axis=0) ** 2).sum(axis=1)
    around = energy[middle - near : middle + near + 1]
    shift = float(around @ np.arange(-near, near + 1)) / max(float(around.sum()), 1e-12)
    most = _SHIFT_S * frequency_hz
    return middle + round(min(max(shift, -most), most))


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
