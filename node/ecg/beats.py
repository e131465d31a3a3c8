"""Heart beats of an ECG record and the rate they give."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.ndimage import uniform_filter1d

from node.domain.ecg import ECGRecord
from node.ecg.conditioning import band_pass, fill_gaps

QRS_BAND_HZ: Final = (8.0, 20.0)
"""Where a QRS complex stands out most from P, T and muscle (Elgendi 2010 finds 8–20 Hz best)."""
QRS_WIDTH_S: Final = 0.1
REFRACTORY_S: Final = 0.24
"""No two beats closer: 250 per minute."""
ABOVE_QUIET: Final = 20.0
"""A beat's energy over the record's quiet level, its lower quartile: at least 60 in the recordings
we have, also at 230 beats a minute or in muscle noise; below 10 in white noise."""
OF_TYPICAL_BEAT: Final = 0.2
"""And this part of a typical beat's energy, which T waves stay below."""
SLOWEST_BEATS_PER_S: Final = 0.4
"""24 a minute: of 10 s the fourth-strongest peak is a beat, even after three artefacts."""
FLAT_MV2: Final = 1e-6
"""Energy of 1 µV: less than a step of any recorder."""
SECONDS_NEEDED: Final = 0.5
"""Below, the filter has nothing to work on."""


def detect_beats(record: ECGRecord) -> NDArray[np.int64]:
    """(n_beats,) sample numbers of the QRS complexes, by their energy in most leads."""
    frequency_hz = record.sampling_frequency_hz
    if record.duration_s < SECONDS_NEEDED or frequency_hz <= 2 * QRS_BAND_HZ[0]:
        return np.empty(0, np.int64)
    energy = _energy(record)
    distance = max(1, round(REFRACTORY_S * frequency_hz))
    height = ABOVE_QUIET * float(np.quantile(energy, 0.25))
    peaks, _ = signal.find_peaks(energy, distance=distance, height=max(height, 1e-9))
    if not len(peaks):
        return np.empty(0, np.int64)
    rank = min(len(peaks), max(1, round(SLOWEST_BEATS_PER_S * record.duration_s)))
    typical = np.sort(energy[peaks])[-rank]
    beats: NDArray[np.int64] = peaks[energy[peaks] >= OF_TYPICAL_BEAT * typical].astype(np.int64)
    return beats


def _energy(record: ECGRecord) -> NDArray[np.float64]:
    """(n_samples,) energy in the QRS band over 0.1 s, the median of the leads.

    Each lead counts in parts of its own strongest moments, so that the median lead is an ordinary
    one even when a few electrodes are bad; a flat lead counts nothing.
    """
    band = band_pass(fill_gaps(record.samples), record.sampling_frequency_hz, *QRS_BAND_HZ)
    width = max(1, round(QRS_WIDTH_S * record.sampling_frequency_hz))
    energy = uniform_filter1d(band**2, width, axis=0)
    strongest = np.quantile(energy, 0.98, axis=0)
    energy[:, strongest < FLAT_MV2] = 0
    median: NDArray[np.float64] = np.median(energy / np.maximum(strongest, FLAT_MV2), axis=1)
    return median


def heart_rate_bpm(record: ECGRecord) -> float | None:
    """Beats a minute from the median RR interval, None with fewer than two beats."""
    beats = detect_beats(record)
    if len(beats) < 2:
        return None
    return float(60.0 * record.sampling_frequency_hz / np.median(np.diff(beats)))
