"""The left ventricle's wall by segments: how thick and how active each is beside the whole.

Sixteen segments after the American Heart Association (Cerqueira 2002, Circulation 105:539): basal 1
to 6 and mid 7 to 12 (anterior, anteroseptal, inferoseptal, inferior, inferolateral, anterolateral),
apical 13 to 16 (anterior, septal, inferior, lateral). The four-chamber plane cuts two walls:
inferoseptal and anterolateral.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.conditions import Cardiomyopathy, Conditions, Conduction, Territory

Array = NDArray[np.float64]

SEGMENTS = 16
SEPTAL_WALL = (2, 8, 13)
"""Segments 3, 9 and 14, as indices: the septum in the four-chamber plane, base to apex."""
LATERAL_WALL = (5, 11, 15)
"""Segments 6, 12 and 16."""

_SEPTUM = (1, 2, 7, 8, 13)
_SUPPLIED = {
    Territory.ANTERIOR: (0, 1, 6, 7, 12, 13),
    Territory.INFERIOR: (2, 3, 8, 9, 14),
    Territory.LATERAL: (4, 5, 10, 11, 15),
}
# Healthy ventricles: the septum is thicker than the free wall, the apex thinner than the base.
_USUAL_THICKNESS = np.array(
    [1.02, 1.12, 1.10, 1.03, 0.98, 0.98, 0.97, 1.03, 1.05, 1.00, 0.96, 0.94, 0.93, 0.98, 0.93, 0.92]
)
_USUAL_ACTIVITY = np.array(
    [0.98, 0.90, 0.88, 0.94, 1.03, 1.02, 1.00, 0.95, 0.94, 0.98, 1.05, 1.04, 1.07, 1.05, 1.08, 1.10]
)


def wall_shares(conditions: Conditions, chance: Array) -> Array:
    """(n, 16) thickness of each segment over the mean wall, mean 1. chance: (n, 16) normal."""
    c = conditions
    shares = _USUAL_THICKNESS * np.exp(0.045 * chance)
    asymmetric = np.where(
        c.cardiomyopathy == Cardiomyopathy.HYPERTROPHIC, 0.25 + 0.45 * c.severity, 0.0
    )
    shares[:, _SEPTUM] *= 1.0 + asymmetric[:, None]
    return _mean_one(shares * (1.0 - 1.2 * _scarred(c)))


def activity_shares(conditions: Conditions, chance: Array) -> Array:
    """(n, 16) strain of each segment over the mean strain, mean 1. chance: (n, 16) normal."""
    c = conditions
    shares = _USUAL_ACTIVITY + 0.085 * chance
    blocked = c.conduction == Conduction.LEFT_BUNDLE_BRANCH_BLOCK
    shares[:, _SEPTUM] -= np.where(blocked, 0.28, 0.0)[:, None]
    asymmetric = c.cardiomyopathy == Cardiomyopathy.HYPERTROPHIC
    shares[:, _SEPTUM] -= np.where(asymmetric, 0.25 * c.severity, 0.0)[:, None]
    spared = c.cardiomyopathy == Cardiomyopathy.AMYLOID  # the apex is spared
    shares[:, 12:] += np.where(spared, 0.35, 0.0)[:, None]
    return _mean_one(np.maximum(shares * (1.0 - 4.0 * _scarred(c)), 0.05))


def longitudinal_shares(activity: Array, chance: Array) -> Array:
    """(n, 6) strain of septal base, mid, apex, then lateral apex, mid, base, over their mean."""
    walls = activity[:, (*SEPTAL_WALL, *LATERAL_WALL[::-1])]
    return _mean_one(np.maximum(walls + 0.07 * chance, 0.05))


def _scarred(conditions: Conditions) -> Array:
    """(n, 16) how much of each segment is scar, about the subject's share over its territory."""
    scar = np.zeros((conditions.scar.size, SEGMENTS))
    for territory, segments in _SUPPLIED.items():
        here = np.where(conditions.territory == territory, conditions.scar, 0.0)
        scar[:, segments] = here[:, None]
    return scar


def _mean_one(shares: Array) -> Array:
    normed: Array = shares / shares.mean(axis=1, keepdims=True)
    return normed
