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
ABOVE_QUIET: Final = 5.0
"""A beat's energy is at least this many times the record's median energy; in noise alone, summed
over leads and 0.1 s, the highest stays below 3 times."""
OF_TYPICAL_BEAT: Final = 0.2
"""And this part of a typical beat's energy, which T waves stay below."""
SAMPLES_NEEDED: Final = 0.5
"""Seconds below which the filter has nothing to work on."""


def detect_beats(record: ECGRecord) -> NDArray[np.int64]:
    """(n_beats,) sample numbers of the QRS complexes, by their energy in all leads together."""
    frequency_hz = record.sampling_frequency_hz
    if record.duration_s < SAMPLES_NEEDED or frequency_hz <= 2 * QRS_BAND_HZ[0]:
        return np.empty(0, np.int64)
    band = band_pass(fill_gaps(record.samples), frequency_hz, *QRS_BAND_HZ)
    # A lead with a bad electrode must not outshout the others: each is limited to four times
    # what is typical for the leads.
    strength = np.quantile(np.abs(band), 0.98, axis=0)
    limit = 4 * np.median(strength)
    energy = (np.clip(band, -limit, limit) ** 2).sum(axis=1)
    energy = uniform_filter1d(energy, max(1, round(QRS_WIDTH_S * frequency_hz)))
    distance = max(1, round(REFRACTORY_S * frequency_hz))
    height = ABOVE_QUIET * float(np.median(energy))
    peaks, _ = signal.find_peaks(energy, distance=distance, height=max(height, 1e-12))
    if not len(peaks):
        return np.empty(0, np.int64)
    typical = float(np.median(np.sort(energy[peaks])[len(peaks) // 2 :]))
    beats: NDArray[np.int64] = peaks[energy[peaks] >= OF_TYPICAL_BEAT * typical].astype(np.int64)
    return beats


def heart_rate_bpm(record: ECGRecord) -> float | None:
    """Beats a minute from the median RR interval, None with fewer than two beats."""
    beats = detect_beats(record)
    if len(beats) < 2:
        return None
    return float(60.0 * record.sampling_frequency_hz / np.median(np.diff(beats)))
