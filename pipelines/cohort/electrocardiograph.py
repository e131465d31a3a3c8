"""The recorder of a simulated ECG: what real devices and rooms do to a heart's signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

Array = NDArray[np.float64]

SAMPLING_FREQUENCY_HZ = 500.0
DURATION_S = 10.0
# mV a step of those who make electrocardiographs: Philips and others, Mortara, Schiller, GE.
RESOLUTIONS_MV = (0.001, 0.0025, 0.005, 0.00488)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One electrocardiograph at one bedside."""

    high_pass_hz: float
    low_pass_hz: float
    hum_hz: float
    hum_mv: float
    wander_mv: float
    muscle_mv: float
    resolution_mv: float
    gain: Array
    """(8,) per recorded lead: contact, amplifier."""


def draw_device(rng: np.random.Generator) -> Device:
    """One electrocardiograph out of those in use."""
    return Device(
        high_pass_hz=float(rng.choice([0.05, 0.05, 0.15, 0.5])),
        low_pass_hz=float(rng.choice([40.0, 100.0, 100.0, 150.0])),
        hum_hz=float(rng.choice([50.0, 60.0])),
        hum_mv=float(0.02 * rng.random() ** 2),
        wander_mv=float(0.03 + 0.20 * rng.random() ** 2),
        muscle_mv=float(0.004 + 0.016 * rng.random() ** 2),
        resolution_mv=float(rng.choice(RESOLUTIONS_MV)),
        gain=1.0 + 0.03 * rng.standard_normal(8) + 0.03 * rng.standard_normal(),
    )


def record(heart: Array, device: Device, rng: np.random.Generator) -> Array:
    """(n, 8) millivolts that the device stores of what arrives at its electrodes."""
    time = np.arange(heart.shape[0]) / SAMPLING_FREQUENCY_HZ
    signal = _filter(heart * device.gain + _interference(device, time, rng), device)
    stored: Array = np.rint(signal / device.resolution_mv) * device.resolution_mv
    return stored


def _interference(device: Device, time: Array, rng: np.random.Generator) -> Array:
    """(n, 8) millivolts that do not come from the heart."""
    noise = device.muscle_mv * rng.standard_normal((time.size, 8))
    for _ in range(3):
        slow = 2.0 * np.pi * (0.05 + 0.35 * rng.random()) * time + 2.0 * np.pi * rng.random()
        noise += device.wander_mv * np.sin(slow)[:, None] * rng.standard_normal(8) / 1.7
    hum = np.sin(2.0 * np.pi * device.hum_hz * time + 2.0 * np.pi * rng.random())
    return noise + device.hum_mv * hum[:, None] * rng.random(8)


def _filter(signal: Array, device: Device) -> Array:
    """Causal filters of the device, as a real one applies them while it records."""
    rate = SAMPLING_FREQUENCY_HZ
    high = butter(1, device.high_pass_hz, "highpass", fs=rate, output="sos")
    low = butter(2, device.low_pass_hz, "lowpass", fs=rate, output="sos")
    filtered: Array = sosfilt(np.vstack([high, low]), signal - signal[:1], axis=0)
    return filtered
