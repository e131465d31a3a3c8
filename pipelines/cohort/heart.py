"""Geometry and motion of a left ventricle: a truncated ellipsoid that keeps its muscle's volume.

The cavity is an ellipsoid of half-axes 0.7 L (long) and R (short), cut by the mitral plane 0.3 L
from its centre; length L runs from that plane to the apex. Wall thickness follows from mass at
1.05 g/mL in every frame, so that thickening and strain agree with the volumes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MUSCLE_DENSITY_G_PER_ML = 1.05
APEX_SHARE = 0.7
BASE_SHARE = 0.3
# Integral of the cross-section from -0.3 L to 0.7 L, over pi R^2 L: 1 - (0.7^3 + 0.3^3)/(3 * 0.7^2)
FILLING = 1.0 - (APEX_SHARE**3 + BASE_SHARE**3) / (3.0 * APEX_SHARE**2)


def cavity_radius_mm(volume_ml: Array, length_mm: Array) -> Array:
    """Short half-axis R of a cavity of this volume and length."""
    radius: Array = np.sqrt(1000.0 * volume_ml / (FILLING * np.pi * length_mm))
    return radius


def wall_thickness_mm(volume_ml: Array, length_mm: Array, mass_g: Array) -> Array:
    """Wall that encloses the muscle's volume around the cavity, by bisection to 1e-6 mm."""
    radius = cavity_radius_mm(volume_ml, length_mm)
    target = volume_ml + mass_g / MUSCLE_DENSITY_G_PER_ML
    low = np.zeros_like(radius)
    high = np.full_like(radius, 40.0)
    for _ in range(26):
        middle = (low + high) / 2.0
        small = _outer_volume_ml(radius, length_mm, middle) < target
        low = np.where(small, middle, low)
        high = np.where(small, high, middle)
    return (low + high) / 2.0


def _outer_volume_ml(radius: Array, length: Array, wall: Array) -> Array:
    """Volume inside the epicardium, cut by the same mitral plane."""
    half = APEX_SHARE * length + wall
    base = BASE_SHARE * length
    reach = half + base - (half**3 + base**3) / (3.0 * half**2)
    outer: Array = np.pi * (radius + wall) ** 2 * reach / 1000.0
    return outer


def end_systole(rr_s: Array) -> Array:
    """Share of the RR interval that ejection takes; systole gives way less than diastole."""
    share: Array = np.clip((0.27 + 0.05 * rr_s + 0.03 * np.sqrt(rr_s)) / rr_s, 0.25, 0.58)
    return share


def contraction(phase: Array, rr_s: float, early_share: float) -> Array:
    """How far a chamber is emptied at each phase: 0 at end-diastole, 1 at end-systole.

    phase: share of the RR interval since end-diastole. `early_share` of the volume comes back in
    the early filling, the rest with the atrial kick.
    """
    turn = float(end_systole(np.asarray(rr_s)))
    early = min(0.20 / rr_s, 0.45 * (1.0 - turn))
    kick = min(0.14 / rr_s, 0.35 * (1.0 - turn))
    emptying = _smooth_step((phase - 0.02) / (turn - 0.02))
    filling = early_share * _smooth_step((phase - turn) / early)
    atrial = (1.0 - early_share) * _smooth_step((phase - (1.0 - kick)) / kick)
    return emptying - filling - atrial


def _smooth_step(x: Array) -> Array:
    """Perlin's quintic from 0 to 1, with vanishing first and second derivatives at both ends."""
    t = np.clip(x, 0.0, 1.0)
    step: Array = t**3 * (t * (6.0 * t - 15.0) + 10.0)
    return step
