"""The body-surface ECG of a simulated heart: a moving dipole seen by twelve leads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.electrocardiograph import (
    DURATION_S,
    SAMPLING_FREQUENCY_HZ,
    draw_device,
    record,
)
from pipelines.cohort.electrophysiology import electrical_traits
from pipelines.cohort.population import Population, Stream, draw
from pipelines.cohort.waves import Waves, ectopic_waves, shape_waves

Array = NDArray[np.float64]

# Frank X (left), Y (foot), Z (back) to I, II, V1..V6 (Dower 1980, J Electrocardiol 13:1).
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
ELECTRODE_SPREAD = 0.04
"""Relative change of each lead's view from one placement of the electrodes to the next."""
ECTOPIC_SHARE = 0.04
"""Of recordings that hold ventricular extrasystoles."""


def simulate_ecg(population: Population, index: int, *, seed: int) -> NDArray[np.float32]:
    """(5000, 12) millivolts at 500 Hz, leads in standard order, of one subject on its own device.

    The four derived limb leads follow from the recorded I and II, as in a real electrocardiograph.
    """
    rng = draw(seed, Stream.ECG_NOISE, index)
    device = draw_device(rng)
    dipole = _dipole(population, index, electrical_traits(population, index, seed=seed), rng)
    electrodes = DOWER * (1.0 + ELECTRODE_SPREAD * rng.standard_normal(DOWER.shape))
    return twelve_of_eight(record(dipole @ electrodes.T, device, rng)).astype(np.float32)


def twelve_of_eight(eight: Array) -> Array:
    """(n, 12) of (n, 8) I, II, V1..V6: Einthoven's and Goldberger's leads follow from I and II."""
    one, two = eight[:, 0], eight[:, 1]
    limb = [one, two, two - one, -(one + two) / 2.0, one - two / 2.0, two - one / 2.0]
    return np.concatenate([np.stack(limb, axis=1), eight[:, 2:]], axis=1)


def _dipole(
    population: Population, index: int, trait: dict[str, float], rng: np.random.Generator
) -> Array:
    """(n, 3) millivolts of the heart's vector over time."""
    time = np.arange(round(DURATION_S * SAMPLING_FREQUENCY_HZ)) / SAMPLING_FREQUENCY_HZ
    mean_rr = 60.0 / float(population.heart_rate_bpm[index])
    fibrillating = bool(population.conditions.fibrillation[index])
    intervals, ectopic = _rhythm(mean_rr, fibrillating, rng)
    beats = np.cumsum(intervals) - mean_rr * (1.0 + rng.random())
    pq_s = float(np.clip(0.160 + 0.018 * trait["pq"], 0.11, 0.28))
    respiration, lag = 0.25 + 0.05 * rng.standard_normal(), 2.0 * np.pi * rng.random()
    origin = rng.standard_normal(3)
    extrasystole = ectopic_waves(origin / np.linalg.norm(origin))
    dipole = _fibrillation(time, rng) if fibrillating else np.zeros((time.size, 3))
    for number, beat in enumerate(beats):
        rr = intervals[max(number - 1, 0)]
        qt_s = float(
            np.clip((0.410 + 0.016 * trait["qt"]) * np.cbrt(0.5 * (rr + mean_rr)), 0.24, 0.56)
        )
        waves = extrasystole
        if number not in ectopic:
            waves = shape_waves(trait, population.conditions, index, qt_s=qt_s, pq_s=pq_s)
            if fibrillating:
                waves.vector_mv[:2] = 0.0
        breath = 1.0 + 0.03 * np.sin(2.0 * np.pi * respiration * beat + lag)
        _add_beat(dipole, time, beat, waves, breath)
    return dipole


def _rhythm(
    mean_rr: float, fibrillating: bool, rng: np.random.Generator
) -> tuple[Array, frozenset[int]]:
    """(beats,) RR intervals in s, and which beats are ventricular extrasystoles."""
    spread = 0.16 if fibrillating else 0.022 * np.exp(0.4 * rng.standard_normal())
    count = int(DURATION_S / mean_rr) + 6
    intervals = mean_rr * np.clip(1.0 + spread * rng.standard_normal(count), 0.55, 1.6)
    intervals *= mean_rr / intervals.mean()
    places = rng.choice(np.arange(3, count - 3, 3), 2)
    ectopic = frozenset(places.tolist()) if rng.random() < ECTOPIC_SHARE else frozenset[int]()
    for place in ectopic:
        intervals[place] *= 0.62  # early, and the sinus beat after it is not moved
        intervals[place + 1] *= 1.38
    return intervals, ectopic


def _fibrillation(time: Array, rng: np.random.Generator) -> Array:
    """(n, 3) fine waves of the fibrillating atria, 5 to 8 Hz, largest to the front."""
    waves = np.zeros((time.size, 3))
    for share in (1.0, 0.6):
        drift = np.cumsum(rng.standard_normal(time.size)) * 0.02
        phase = 2.0 * np.pi * (5.0 + 3.0 * rng.random()) * time + drift
        waves += share * np.sin(phase)[:, None] * np.array([0.012, 0.020, 0.035])
    return waves * (0.6 + 0.8 * rng.random())


def _add_beat(dipole: Array, time: Array, beat: float, waves: Waves, breath: float) -> None:
    first, last = np.searchsorted(time, [beat - 0.40, beat + 0.75])
    offset = time[first:last, None] - beat - waves.centre_s  # (window, w)
    before, after = waves.width_s.T
    shape = np.exp(-0.5 * (offset / np.where(offset < 0.0, before, after)) ** 2)
    dipole[first:last] += breath * (shape @ waves.vector_mv)
