"""The body-surface ECG of a simulated heart: a moving dipole seen by twelve leads.

Electrical traits are linear in the anatomy plus each subject's own electrophysiology, set so that
anatomy can be read from the ECG about as well as published work reads it (R2 near .6 for LV mass,
.5 for volumes, .25 for ejection fraction), and no better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from pipelines.cohort.population import Population, Stream, draw

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

TRAITS = (
    "qrs_duration", "amplitude", "axis", "transition", "st_t_angle", "t_amplitude",
    "p_duration", "p_amplitude", "p_terminal", "qt", "notch", "septal", "late_right", "pq",
)  # fmt: skip

# Share of each standardised cause in each trait; the rest of the variance is the subject's own.
# Signs and sizes after the correlations of J Electrocardiol 2006;39:67, PMC6932018, PMC4051227.
_COUPLING: dict[str, dict[str, float]] = {
    "qrs_duration": {"mass": 0.36, "edv": 0.29, "ef": -0.05},
    "amplitude": {"mass": 0.50, "edv": 0.08, "bmi": -0.34, "age": -0.09, "sex": 0.05},
    "axis": {"bmi": -0.36, "age": -0.36, "mass": -0.16, "ra": 0.12},
    "transition": {"edv": 0.36, "sex": 0.23, "ef": -0.09},
    "st_t_angle": {"mass": 0.32, "ef": -0.19, "age": 0.18},
    "t_amplitude": {"mass": -0.18, "ef": 0.18, "sex": 0.36, "edv": 0.12},
    "p_duration": {"la": 0.44, "age": 0.23},
    "p_amplitude": {"ra": 0.40, "rate": 0.18},
    "p_terminal": {"la": 0.40, "bmi": 0.09},
    "qt": {"sex": -0.41, "age": 0.18, "mass": 0.20, "ef": -0.07},
    "notch": {"edv": 0.32, "ef": -0.19},
    "septal": {"ef": 0.14, "edv": -0.28, "age": -0.23},
    "late_right": {"rv": 0.48, "sex": 0.18},
    "pq": {"age": 0.27, "la": 0.20, "sex": 0.09, "rate": -0.27},
}


OWN_SPREAD = np.array(
    [0.52, 0.55, 0.80, 0.70, 0.62, 0.62, 0.62, 0.72, 0.72, 0.75, 0.65, 0.75, 0.65, 0.80]
)

SAMPLING_FREQUENCY_HZ = 500.0
DURATION_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """The electrocardiograph: what real ones do to the same heart."""

    high_pass_hz: float
    low_pass_hz: float
    hum_hz: float
    hum_mv: float
    wander_mv: float
    muscle_mv: float
    gain: Array
    """(8,) per recorded lead: contact, amplifier."""


def simulate_ecg(population: Population, index: int, *, seed: int) -> NDArray[np.float32]:
    """(5000, 12) millivolts at 500 Hz, leads in standard order, of one subject on its own device.

    The four derived limb leads follow from the recorded I and II, as in a real electrocardiograph.
    """
    rng = draw(seed, Stream.ECG_NOISE, index)
    device = draw_device(rng)
    time = np.arange(round(DURATION_S * SAMPLING_FREQUENCY_HZ)) / SAMPLING_FREQUENCY_HZ
    fibrillating = bool(rng.random() < 0.02)
    traits = electrical_traits(population, index, seed=seed)
    rate = float(population.heart_rate_bpm[index])
    dipole = _dipole(traits, rate, time, rng, fibrillating)
    electrodes = DOWER * (1.0 + 0.04 * rng.standard_normal(DOWER.shape))
    signal = (dipole @ electrodes.T) * device.gain + _interference(device, time, rng)
    return twelve_of_eight(_device_filter(signal, device)).astype(np.float32)


def electrical_traits(population: Population, index: int, *, seed: int) -> dict[str, float]:
    """Standardised electrical traits of one subject by name, each of variance near 1."""
    p, k = population, index
    ejection = (p.lvedv_ml[k] - p.lvesv_ml[k]) / p.lvedv_ml[k]
    # Fixed centres and spreads of the population, so that a subject does not depend on the others.
    causes = {
        "mass": (np.log(p.lv_mass_g[k]) - 4.457) / 0.266,
        "edv": (np.log(p.lvedv_ml[k]) - 4.972) / 0.219,
        "ef": (ejection - 0.594) / 0.062,
        "rv": (np.log(p.rvedv_ml[k]) - 5.023) / 0.240,
        "la": (np.log(p.la_max_ml[k]) - 4.243) / 0.277,
        "ra": (np.log(p.ra_max_ml[k]) - 4.353) / 0.318,
        "age": (p.age_years[k] - 58.0) / 14.0,
        "sex": 1.0 if p.male[k] else -1.0,
        "bmi": (p.weight_kg[k] / (p.height_cm[k] / 100.0) ** 2 - 26.7) / 4.2,
        "rate": (p.heart_rate_bpm[k] - 68.0) / 13.2,
    }
    own = draw(seed, Stream.ELECTROPHYSIOLOGY, index).standard_normal(len(TRAITS)) * OWN_SPREAD
    return {
        name: float(sum(share * causes[cause] for cause, share in _COUPLING[name].items()) + rest)
        for name, rest in zip(TRAITS, own, strict=True)
    }


def draw_device(rng: np.random.Generator) -> Device:
    """One electrocardiograph out of those in use."""
    return Device(
        high_pass_hz=float(rng.choice([0.05, 0.05, 0.15, 0.5])),
        low_pass_hz=float(rng.choice([40.0, 100.0, 100.0, 150.0])),
        hum_hz=float(rng.choice([50.0, 60.0])),
        hum_mv=float(0.02 * rng.random() ** 2),
        wander_mv=float(0.03 + 0.20 * rng.random() ** 2),
        muscle_mv=float(0.004 + 0.016 * rng.random() ** 2),
        gain=1.0 + 0.03 * rng.standard_normal(8) + 0.03 * rng.standard_normal(),
    )


def twelve_of_eight(eight: Array) -> Array:
    """(n, 12) of (n, 8) I, II, V1..V6: Einthoven's and Goldberger's leads follow from I and II."""
    one, two = eight[:, 0], eight[:, 1]
    limb = [one, two, two - one, -(one + two) / 2.0, one - two / 2.0, two - one / 2.0]
    return np.concatenate([np.stack(limb, axis=1), eight[:, 2:]], axis=1)


def _rotation(degrees: float, first: int, second: int) -> Array:
    """Rotation from axis `first` towards axis `second`."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _waves(trait: dict[str, float], qt_s: float, pq_s: float) -> tuple[Array, Array, Array]:
    """Centres (w,), widths (w, 2) before and after the centre, in s, and vectors (w, 3) in mV."""
    stretch = float(np.clip(1.0 + 0.13 * trait["qrs_duration"], 0.6, 1.8))
    voltage = float(np.exp(0.20 * np.clip(trait["amplitude"], -4.0, 4.0)))
    turn = _rotation(-15.4 * trait["axis"], 0, 1) @ _rotation(9.0 * trait["transition"], 0, 2)
    notch, septal, late = trait["notch"], trait["septal"], trait["late_right"]
    qrs = voltage * np.array(
        [
            np.array([-0.14, -0.06, -0.24]) * np.exp(0.28 * septal),
            np.array([0.95, 0.62, -0.10]),
            np.array([0.62, 0.42, 0.72]),
            np.array([0.18, 0.12, 0.42]) * np.exp(0.30 * notch),
            np.array([-0.16, -0.12, 0.14]) * np.exp(0.35 * late),
        ]
    )
    qrs = qrs @ turn.T
    qrs_at = np.array([-0.023, -0.003, 0.009, 0.022, 0.033]) * stretch
    qrs_width = np.array([0.0070, 0.0085, 0.0085, 0.0090, 0.0095]) * stretch
    swing = _rotation(24.0 * trait["st_t_angle"], 0, 2)
    t_vector = swing @ np.array([0.30, 0.21, -0.16]) * np.exp(0.28 * trait["t_amplitude"])
    t_at = qt_s - 0.105
    p_wide = 0.021 * np.exp(0.15 * trait["p_duration"])
    p_right = np.array([0.045, 0.085, -0.045]) * np.exp(0.28 * trait["p_amplitude"])
    p_left = np.array([0.055, 0.045, 0.030 + 0.030 * np.exp(0.35 * trait["p_terminal"])])
    p_at = np.array([-pq_s + 0.035, -pq_s + 0.035 + 1.55 * p_wide])
    centres = np.concatenate([p_at, qrs_at, [t_at]])
    before = np.concatenate([[p_wide, p_wide], qrs_width, [0.062]])
    after = np.concatenate([[p_wide, p_wide], qrs_width, [0.036]])
    vectors = np.vstack([p_right, p_left, qrs, t_vector])
    return centres, np.stack([before, after], axis=1), vectors


def _dipole(
    trait: dict[str, float],
    heart_rate_bpm: float,
    time: Array,
    rng: np.random.Generator,
    fibrillating: bool,
) -> Array:
    """(n, 3) millivolts of the heart's vector over time."""
    mean_rr = 60.0 / heart_rate_bpm
    spread = 0.16 if fibrillating else 0.022 * np.exp(0.4 * rng.standard_normal())
    count = int(time[-1] / mean_rr) + 6
    intervals = mean_rr * np.clip(1.0 + spread * rng.standard_normal(count), 0.55, 1.6)
    intervals *= mean_rr / intervals.mean()
    beats = np.cumsum(intervals) - mean_rr * (1.0 + rng.random())
    pq_s = float(np.clip(0.160 + 0.018 * trait["pq"], 0.11, 0.28))
    respiration = 0.25 + 0.05 * rng.standard_normal()
    lag = 2.0 * np.pi * rng.random()
    dipole = np.zeros((time.size, 3))
    for beat, rr in zip(beats, np.concatenate([[mean_rr], intervals[:-1]]), strict=True):
        qt_s = float(
            np.clip((0.410 + 0.016 * trait["qt"]) * np.cbrt(0.5 * (rr + mean_rr)), 0.24, 0.56)
        )
        centres, widths, vectors = _waves(trait, qt_s, pq_s)
        if fibrillating:
            vectors[:2] = 0.0
        first, last = np.searchsorted(time, [beat - 0.40, beat + 0.75])
        offset = time[first:last, None] - beat - centres  # (window, w)
        shape = np.exp(-0.5 * (offset / np.where(offset < 0.0, widths[:, 0], widths[:, 1])) ** 2)
        breath = 1.0 + 0.03 * np.sin(2.0 * np.pi * respiration * beat + lag)
        dipole[first:last] += breath * (shape @ vectors)
    return dipole


def _interference(device: Device, time: Array, rng: np.random.Generator) -> Array:
    """(n, 8) millivolts that do not come from the heart."""
    noise = device.muscle_mv * rng.standard_normal((time.size, 8))
    for _ in range(3):
        slow = 2.0 * np.pi * (0.05 + 0.35 * rng.random()) * time + 2.0 * np.pi * rng.random()
        noise += device.wander_mv * np.sin(slow)[:, None] * rng.standard_normal(8) / 1.7
    hum = np.sin(2.0 * np.pi * device.hum_hz * time + 2.0 * np.pi * rng.random())
    return noise + device.hum_mv * hum[:, None] * rng.random(8)


def _device_filter(signal: Array, device: Device) -> Array:
    """Causal filters of the device, as a real one applies them while it records."""
    rate = SAMPLING_FREQUENCY_HZ
    high = butter(1, device.high_pass_hz, "highpass", fs=rate, output="sos")
    low = butter(2, device.low_pass_hz, "lowpass", fs=rate, output="sos")
    filtered: Array = sosfilt(np.vstack([high, low]), signal - signal[:1], axis=0)
    return filtered
