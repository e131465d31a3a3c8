"""A clean synthetic 12-lead ECG whose rate, heights and leads are chosen by the test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Lead, derive_limb_leads

# Heights in mV of P, Q, R, S and T: I, II and V1 to V6 of a healthy adult.
HEIGHTS = {
    Lead.I: (0.08, -0.05, 0.6, -0.1, 0.2),
    Lead.II: (0.15, -0.08, 1.1, -0.15, 0.3),
    Lead.V1: (0.05, 0.0, 0.2, -1.0, -0.1),
    Lead.V2: (0.06, 0.0, 0.4, -1.3, 0.4),
    Lead.V3: (0.07, 0.0, 0.8, -0.8, 0.5),
    Lead.V4: (0.08, -0.05, 1.3, -0.5, 0.5),
    Lead.V5: (0.08, -0.08, 1.4, -0.2, 0.4),
    Lead.V6: (0.08, -0.08, 1.1, -0.1, 0.3),
}
# Centre and standard deviation in seconds, from the R peak.
TIMES = ((-0.16, 0.02), (-0.025, 0.008), (0.0, 0.01), (0.025, 0.01), (0.28, 0.05))


def beat_times_s(rate_bpm: float, duration_s: float) -> NDArray[np.float64]:
    return np.arange(0.4, duration_s - 0.1, 60.0 / rate_bpm)


def ecg(
    *,
    rate_bpm: float = 70.0,
    duration_s: float = 10.0,
    frequency_hz: float = 500.0,
    noise_mv: float = 0.003,
    leads: tuple[Lead, ...] = tuple(Lead),
) -> ECGRecord:
    """The record, with white noise of one seed, III and aVx from I and II."""
    seconds = np.arange(round(duration_s * frequency_hz)) / frequency_hz
    waves = np.stack(
        [
            sum(
                np.exp(-(((seconds - beat - centre) / width) ** 2) / 2)
                for beat in beat_times_s(rate_bpm, duration_s)
            )
            for centre, width in TIMES
        ]
    )
    stored = np.array(list(HEIGHTS.values())) @ waves
    generator = np.random.Generator(np.random.Philox(7))
    stored += generator.normal(0, noise_mv, stored.shape)
    samples, ordered = derive_limb_leads(stored.T.astype(np.float32), tuple(HEIGHTS))
    columns = [ordered.index(lead) for lead in leads]
    return ECGRecord(samples=samples[:, columns], leads=leads, sampling_frequency_hz=frequency_hz)


def changed(record: ECGRecord, **columns: NDArray[np.floating]) -> ECGRecord:
    """The record with leads replaced, named as in `Lead` ("AVR")."""
    samples = record.samples.copy()
    for name, column in columns.items():
        samples[:, record.leads.index(Lead[name])] = column
    return ECGRecord(
        samples=samples, leads=record.leads, sampling_frequency_hz=record.sampling_frequency_hz
    )
