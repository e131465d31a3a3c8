"""One beat of a simulated heart as a moving dipole: P, QRS and T as Gaussians of a vector each.

Vectors are in mV along Frank's axes: X to the left, Y to the foot, Z to the back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.conditions import Cardiomyopathy, Conditions, Conduction, Territory

Array = NDArray[np.float64]
_QRS = slice(2, 7)
_T = 7
_USUAL_SCAR = 0.12
QRS_TURN_DEG, T_TURN_DEG = -10.0, -22.0
"""In the frontal plane, from the vectors below to where UK Biobank's mean axes lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waves:
    """centre_s (w,) from the R wave; width_s (w, 2) before and after it; vector_mv (w, 3)."""

    centre_s: Array
    width_s: Array
    vector_mv: Array


def shape_waves(
    trait: dict[str, float], conditions: Conditions, index: int, *, qt_s: float, pq_s: float
) -> Waves:
    """The waves of one normal beat of this subject: two P waves, five of the QRS, one T wave."""
    stretch = 0.87 * float(np.clip(1.0 + 0.13 * trait["qrs_duration"], 0.6, 1.8))
    voltage = float(np.exp(0.20 * np.clip(trait["amplitude"], -4.0, 4.0)))
    turn = _rotation(QRS_TURN_DEG - 19.0 * trait["axis"], 0, 1)
    turn = turn @ _rotation(9.0 * trait["transition"], 0, 2)
    qrs = voltage * np.array(
        [
            np.array([-0.14, -0.06, -0.24]) * np.exp(0.28 * trait["septal"]),
            np.array([0.95, 0.62, -0.10]),
            np.array([0.62, 0.42, 0.72]),
            np.array([0.18, 0.12, 0.42]) * np.exp(0.30 * trait["notch"]),
            np.array([-0.16, -0.12, 0.14]) * np.exp(0.35 * trait["late_right"]),
        ]
    )
    swing = _rotation(24.0 * trait["st_t_angle"], 0, 2)
    t_wave = (
        _rotation(T_TURN_DEG, 0, 1)
        @ swing
        @ np.array([0.30, 0.21, -0.16])
        * np.exp(0.28 * trait["t_amplitude"])
    )
    p_wide = 0.021 * np.exp(0.15 * trait["p_duration"])
    p_right = np.array([0.045, 0.085, -0.045]) * np.exp(0.28 * trait["p_amplitude"])
    p_left = np.array([0.055, 0.045, 0.030 + 0.030 * np.exp(0.35 * trait["p_terminal"])])
    onset = -0.038 * stretch  # of the QRS, where the PQ interval ends
    p_at = onset - pq_s + np.array([0.035, 0.035 + 1.55 * p_wide])
    qrs_at = np.array([-0.023, -0.003, 0.009, 0.022, 0.033]) * stretch
    qrs_width = np.array([0.0070, 0.0085, 0.0085, 0.0090, 0.0095]) * stretch
    waves = Waves(
        centre_s=np.concatenate([p_at, qrs_at, [qt_s - 0.105]]),
        width_s=np.stack(
            [
                np.concatenate([[p_wide, p_wide], qrs_width, [0.062]]),
                np.concatenate([[p_wide, p_wide], qrs_width, [0.036]]),
            ],
            axis=1,
        ),
        vector_mv=np.vstack([p_right, p_left, qrs @ turn.T, t_wave]),
    )
    _apply_muscle(waves, conditions, index)
    _apply_scar(waves, conditions, index)
    _apply_conduction(waves, conditions, index)
    return waves


def ectopic_waves(direction: Array) -> Waves:
    """A ventricular extrasystole: no P wave, a wide QRS, T against it. direction: (3,) unit."""
    return Waves(
        centre_s=np.array([-0.02, 0.03, 0.27]),
        width_s=np.array([[0.028, 0.028], [0.026, 0.030], [0.060, 0.045]]),
        vector_mv=np.stack([1.3 * direction, 0.8 * direction[[1, 0, 2]], -0.55 * direction]),
    )


def _apply_muscle(waves: Waves, conditions: Conditions, index: int) -> None:
    """Hypertrophy adds voltage and turns the T wave over; amyloid takes voltage away."""
    vector, severity = waves.vector_mv, float(conditions.severity[index])
    muscle = conditions.cardiomyopathy[index]
    if muscle == Cardiomyopathy.HYPERTROPHIC:
        vector[_QRS] *= 1.0 + 0.25 * severity
        vector[2] *= 1.8 + severity
        vector[_T] *= np.array([0.6 - 1.7 * severity, 0.6 - 1.0 * severity, -1.0])
    elif muscle == Cardiomyopathy.AMYLOID:
        vector[_QRS] *= 0.50 - 0.10 * severity
        vector[_T] *= 0.5
    elif muscle == Cardiomyopathy.DILATED:
        vector[_QRS] += np.array([0.0, -0.05, 0.10]) * severity
        vector[_T] *= 0.7 - 0.6 * severity
    if conditions.pressure_overload[index]:
        vector[_T] *= np.array([0.9 - 1.2 * severity, 0.9 - 0.8 * severity, 0.6])
    if conditions.pulmonary_hypertension[index]:
        vector[0] *= 1.5
        vector[3] += np.array([-0.20, 0.05, -0.22])
        vector[6] += np.array([-0.22, 0.05, -0.12])


def _apply_scar(waves: Waves, conditions: Conditions, index: int) -> None:
    """Dead muscle gives no force: the early vector points away from it, and so does T."""
    size = float(conditions.scar[index]) / _USUAL_SCAR
    away = {
        Territory.ANTERIOR: np.array([-0.03, 0.0, 0.22]),
        Territory.INFERIOR: np.array([0.0, -0.24, 0.0]),
        Territory.LATERAL: np.array([-0.22, 0.0, -0.06]),
    }.get(Territory(int(conditions.territory[index])))
    if away is not None:
        waves.vector_mv[2] += 1.1 * size * away
        waves.vector_mv[3] += 1.3 * size * away
        waves.vector_mv[_T] += 0.9 * size * away


def _apply_conduction(waves: Waves, conditions: Conditions, index: int) -> None:
    """Bundle branch block: the late ventricle's forces come later, longer and unopposed."""
    centre, width, vector = waves.centre_s, waves.width_s, waves.vector_mv
    if conditions.conduction[index] == Conduction.LEFT_BUNDLE_BRANCH_BLOCK:
        vector[2] = np.array([0.12, 0.06, 0.06])
        vector[3] = 0.65 * vector[3] + np.array([0.0, -0.10, 0.25])
        vector[4:7] = 0.55 * vector[4] + np.array([[0.1, 0.0, 0.1], [0.3, 0.0, 0.3], [0.1, 0, 0.1]])
        centre[_QRS] = np.array([-0.028, -0.008, 0.022, 0.052, 0.078])
        width[_QRS] = np.array([0.010, 0.014, 0.017, 0.017, 0.014])[:, None]
        vector[_T] = -0.45 * vector[_QRS].sum(axis=0) / np.sqrt(5.0)
        centre[_T] += 0.03
    elif conditions.conduction[index] == Conduction.RIGHT_BUNDLE_BRANCH_BLOCK:
        vector[6] = np.array([-0.42, -0.05, -0.50])
        centre[6] = centre[5] + 0.040
        width[6] = 0.013
        vector[_T] += np.array([0.05, 0.0, 0.14])


def _rotation(degrees: float, first: int, second: int) -> Array:
    """Rotation from axis `first` towards axis `second`."""
    angle = np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix
