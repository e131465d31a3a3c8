"""Model-free conditioning of an ECG: gaps, sampling rate, bands, the device's calibration pulse."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from node.domain.ecg import ECGRecord

MAX_RATIO_TERM: Final = 1000
"""Sampling rates are matched as a fraction of whole numbers up to this: 500/997 is exact."""

PULSE_MV: Final = 1.0
PULSE_TOLERANCE_MV: Final = 0.05
PULSE_MINIMUM_S: Final = 0.05
"""The calibration pulse is 1 mV for 0.2 s on paper; a fourth of that is enough to know it."""
SAME_ON_ALL_LEADS_MV: Final = 0.011
"""Leads carry the same voltage: two steps of the coarsest quantisation seen (5 µV), and rounding.
Einthoven's law (III = II − I) lets no heart do this, except at 0 mV."""


def fill_gaps(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n_samples, n_leads) with NaN replaced: a straight line inside a lead, its edges held.

    A lead of NaN alone becomes 0.
    """
    missing = np.isnan(samples)
    if not missing.any():
        return samples
    filled = samples.copy()
    positions = np.arange(samples.shape[0])
    for column in np.flatnonzero(missing.any(axis=0)):
        absent = missing[:, column]
        if absent.all():
            filled[:, column] = 0
        else:
            present = ~absent
            filled[absent, column] = np.interp(
                positions[absent], positions[present], samples[present, column]
            )
    return filled


def resample(samples: NDArray[np.float32], from_hz: float, to_hz: float) -> NDArray[np.float32]:
    """(n_samples × to_hz / from_hz, n_leads), band-limited by a polyphase filter; no NaN in or out.

    Ends are continued along the line through both, so that an offset makes no step.
    """
    ratio = Fraction(to_hz / from_hz).limit_denominator(MAX_RATIO_TERM)
    if ratio == 1:
        return samples
    resampled: NDArray[np.float32] = signal.resample_poly(
        samples.astype(np.float64), ratio.numerator, ratio.denominator, axis=0, padtype="line"
    ).astype(np.float32)
    return resampled


def band_pass(
    samples: NDArray[np.float32],
    sampling_frequency_hz: float,
    low_hz: float | None,
    high_hz: float | None,
) -> NDArray[np.float64]:
    """(n_samples, n_leads) between two corners, without phase shift; None leaves that side open.

    A second-order Butterworth run forwards and backwards: each corner is at −6 dB. A corner at or
    above the Nyquist frequency is left open.
    """
    nyquist_hz = sampling_frequency_hz / 2
    if high_hz is not None and high_hz >= nyquist_hz:
        high_hz = None
    filtered = samples.astype(np.float64)
    for corner_hz, kind in ((low_hz, "highpass"), (high_hz, "lowpass")):
        if corner_hz is not None:
            sections = butterworth(2, corner_hz, kind, sampling_frequency_hz)
            padding = min(len(filtered) - 1, round(sampling_frequency_hz / corner_hz))
            filtered = signal.sosfiltfilt(sections, filtered, axis=0, padlen=padding)
    return filtered


@lru_cache(maxsize=64)
def butterworth(
    order: int, corner_hz: float, kind: str, sampling_frequency_hz: float
) -> NDArray[np.float64]:
    """Second-order sections of a "highpass" or "lowpass"; shared, to be read only.

    Designing a filter takes longer than filtering 10 s with it.
    """
    sections: NDArray[np.float64] = signal.butter(
        order, corner_hz, kind, fs=sampling_frequency_hz, output="sos"
    )
    return sections


def trim_calibration_pulse(record: ECGRecord) -> ECGRecord:
    """The record without the calibration signal that some devices append, else the record itself.

    It is the longest end in which all leads carry the same voltage, when 1 mV is held inside it.
    """
    samples = record.samples
    if samples.shape[1] < 3 or not len(samples):
        return record
    same = np.ptp(samples, axis=1) <= SAME_ON_ALL_LEADS_MV  # NaN compares False
    differing = np.flatnonzero(~same)
    end = int(differing[-1]) + 1 if len(differing) else 0
    tail = samples[end:, 0]
    at_pulse = np.count_nonzero(np.abs(tail - PULSE_MV) <= PULSE_TOLERANCE_MV)
    if end == 0 or at_pulse < PULSE_MINIMUM_S * record.sampling_frequency_hz:
        return record
    return replace(record, samples=samples[:end])
