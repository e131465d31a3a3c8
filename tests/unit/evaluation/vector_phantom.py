"""An ECG of a dipole whose waves begin and end at known moments and point in known directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from pipelines.cohort.torso import DOWER, twelve_of_eight

RATE_BPM = 66.0
FIRST_S = 0.5
PQ_S, P_WIDTH_S = 0.15, 0.09
T_FROM_J_S, T_WIDTH_S = 0.12, 0.16


def ecg(
    *, qrs_s: float = 0.1, axis_deg: float = 40.0, t_axis_deg: float = 30.0,
    noise_mv: float = 0.01, p_mv: float = 0.12, size: float = 1.0, frequency_hz: float = 500.0,
) -> ECGRecord:  # fmt: skip
    """10 s; the QRS complex lasts `qrs_s`, P begins `PQ_S` before it, T ends as `qt_s` says.

    Waves are raised cosines: they begin and end for good. Limb leads see the frontal plane exactly
    as Einthoven's triangle has it, the chest leads as Dower's matrix.
    """
    time = np.arange(round(10.0 * frequency_hz)) / frequency_hz
    main, side, p_wave, t_wave = np.zeros((4, time.size))
    for onset in np.arange(FIRST_S, 9.9, 60.0 / RATE_BPM):
        middle = (time - onset) / qrs_s - 0.5
        main += bell(middle)
        side += np.sin(2.0 * np.pi * middle) * bell(middle)
        p_wave += bell((time - onset + PQ_S) / P_WIDTH_S - 0.5)
        t_wave += bell((time - onset - qrs_s - T_FROM_J_S) / T_WIDTH_S - 0.5)
    axis, t_axis = direction(axis_deg), direction(t_axis_deg)
    dipole = 1.3 * size * np.outer(main, axis) + 0.6 * size * np.outer(side, [-0.3, 0.3, 1.0])
    dipole += 0.3 * np.outer(t_wave, t_axis) + p_mv * np.outer(p_wave, [0.7, 0.7, 0.0])
    eight = dipole @ DOWER.T
    eight[:, 0] = dipole[:, 0]  # lead I
    eight[:, 1] = dipole[:, 0] / 2.0 + dipole[:, 1] * np.sqrt(3.0) / 2.0  # lead II, 60 degrees down
    generator = np.random.Generator(np.random.Philox(3))
    eight += noise_mv * generator.standard_normal(eight.shape)
    return ECGRecord(
        samples=twelve_of_eight(eight).astype(np.float32), leads=STANDARD_LEADS,
        sampling_frequency_hz=frequency_hz,
    )  # fmt: skip


def qt_s(qrs_s: float) -> float:
    return qrs_s + T_FROM_J_S + T_WIDTH_S


def bell(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """A raised cosine from -1/2 to 1/2, 0 elsewhere."""
    inside: NDArray[np.float64] = np.where(
        np.abs(place) < 0.5, 0.5 * (1.0 + np.cos(2.0 * np.pi * place)), 0.0
    )
    return inside


def direction(frontal_deg: float) -> NDArray[np.float64]:
    angle = np.deg2rad(frontal_deg)
    return np.array([np.cos(angle), np.sin(angle), 0.0])
