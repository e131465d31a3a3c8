"""One heart beat of a simulated heart: place and size of its chambers in every frame.

The left ventricle keeps the subject's volumes and mass; the apex stands still, the valve planes
descend, and the atria fill while the ventricles empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import heart
from pipelines.cohort.conditions import Conduction
from pipelines.cohort.population import Population
from pipelines.cohort.segments import LATERAL_WALL, SEPTAL_WALL
from pipelines.cohort.tissue import Field

RELAXATION_SHARE = 0.02
"""Share of the RR interval for which all valves are shut after ejection."""
LEFT_BLOCK_LEAD = 0.04
"""Share of the RR interval by which a blocked septum leads and the lateral wall lags."""
TRICUSPID_OFFSET_MM = 6.0
"""The tricuspid annulus lies nearer the apex than the mitral one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """Scalars of each frame, (frames, 1) float32: mm along the axis from the mitral annulus at
    end-diastole (u, to the apex) and across it (v, to the lateral wall)."""

    apex: float
    mitral: Field
    tricuspid: Field
    lv_length: Field
    lv_radius: Field
    lv_wall: Field
    septal_wall: Field
    lateral_wall: Field
    lv_shift: Field
    """Across, towards the less active wall: the other pulls the cavity over."""
    rv_length: Field
    rv_width: Field
    la_length: Field
    la_radius: Field
    ra_length: Field
    ra_radius: Field
    atrial_septum: float
    opening: Field
    """Of the atrioventricular valves, 0 closed to 1 wide open."""

    def frames(self, numbers: Sequence[int]) -> Beat:
        """The same beat in these frames alone."""
        chosen: dict[str, Any] = {
            each.name: value[list(numbers)]
            for each in fields(self)
            if isinstance(value := getattr(self, each.name), np.ndarray)
        }
        return replace(self, **chosen)


def move_chambers(population: Population, index: int, frames: int) -> Beat:
    """Place and size of every chamber in every frame."""
    p, i = population, index
    phase = np.arange(frames) / frames
    rr_s = 60.0 / float(p.heart_rate_bpm[i])
    early_share = float(np.clip(0.72 - 0.005 * (p.age_years[i] - 58.0), 0.45, 0.88))
    if p.conditions.fibrillation[i]:
        early_share = 1.0  # no atrial kick
    emptied = heart.contraction(phase, rr_s, early_share)
    apex = float(p.lv_length_mm[i])
    lv_volume = p.lvedv_ml[i] - (p.lvedv_ml[i] - p.lvesv_ml[i]) * emptied
    rv_volume = p.rvedv_ml[i] - (p.rvedv_ml[i] - p.rvesv_ml[i]) * emptied
    la_volume = p.la_min_ml[i] + (p.la_max_ml[i] - p.la_min_ml[i]) * emptied
    ra_volume = p.ra_min_ml[i] + (p.ra_max_ml[i] - p.ra_min_ml[i]) * emptied
    lv_length = apex * (1.0 - p.lv_shortening[i] * emptied)
    mitral = apex - lv_length
    rv_ejection = (p.rvedv_ml[i] - p.rvesv_ml[i]) / p.rvedv_ml[i]
    tricuspid = TRICUSPID_OFFSET_MM + 0.38 * rv_ejection * (0.9 * apex) * emptied
    rv_length = 0.90 * apex - tricuspid
    # The back walls of the atria stand still, where a full atrium has its usual length.
    la_length = mitral - mitral.max() + 48.0 * np.cbrt(p.la_max_ml[i] / 67.0)
    ra_length = tricuspid - tricuspid.max() + 53.0 * np.cbrt(p.ra_max_ml[i] / 80.0)
    lv_radius = heart.cavity_radius_mm(lv_volume, lv_length)
    wall = heart.wall_thickness_mm(lv_volume, lv_length, np.full(frames, p.lv_mass_g[i]))
    shift = _shift_mm(p, i, phase, rr_s, early_share, float(np.ptp(lv_radius)))
    return Beat(
        apex=apex,
        mitral=_per_frame(mitral),
        tricuspid=_per_frame(tricuspid),
        lv_length=_per_frame(lv_length),
        lv_radius=_per_frame(lv_radius),
        lv_wall=_per_frame(wall),
        septal_wall=_per_frame(wall * p.wall_shares[i, SEPTAL_WALL].mean()),
        lateral_wall=_per_frame(wall * p.wall_shares[i, LATERAL_WALL].mean()),
        lv_shift=_per_frame(shift),
        rv_length=_per_frame(rv_length),
        # Width and depth of the crescent shrink alike: V = L (width / 0.82)^2.
        rv_width=_per_frame(0.82 * np.sqrt(1000.0 * rv_volume / rv_length)),
        la_length=_per_frame(la_length),
        la_radius=_per_frame(heart.cavity_radius_mm(la_volume, la_length)),
        ra_length=_per_frame(ra_length),
        ra_radius=_per_frame(heart.cavity_radius_mm(ra_volume, ra_length)),
        atrial_septum=float(-0.88 * lv_radius[0]),
        opening=_per_frame(_valve_opening(phase, emptied, rr_s)),
    )


def _shift_mm(
    population: Population, index: int, phase: NDArray[np.float64], rr_s: float,
    early_share: float, excursion_mm: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Where the cavity's axis goes: half of what septum and lateral wall move inwards unlike.

    In left bundle branch block the septum pulls first and the lateral wall follows.
    """
    blocked = population.conditions.conduction[index] == Conduction.LEFT_BUNDLE_BRANCH_BLOCK
    lead = LEFT_BLOCK_LEAD if blocked else 0.0
    septal, lateral = (
        population.activity_shares[index, wall].mean()
        * heart.contraction((phase + sign * lead) % 1.0, rr_s, early_share)
        for wall, sign in ((SEPTAL_WALL, 1.0), (LATERAL_WALL, -1.0))
    )
    shift: NDArray[np.float64] = excursion_mm / 2.0 * (septal - lateral)
    return shift


def _per_frame(values: NDArray[np.float64]) -> Field:
    return values.astype(np.float32)[:, None]


def _valve_opening(
    phase: NDArray[np.float64], emptied: NDArray[np.float64], rr_s: float
) -> NDArray[np.float64]:
    """Wide with fast inflow, half open in diastasis, closed from end-diastole to end-systole."""
    inflow = np.clip(-np.gradient(emptied, phase) / 3.0, 0.0, 1.0)
    turn = float(heart.end_systole(np.asarray(rr_s)))
    drifting = 0.4 * np.clip((phase - turn - 0.03) / 0.05, 0.0, 1.0)
    drifting *= np.clip((0.98 - phase) / 0.05, 0.0, 1.0)
    relaxed = turn + RELAXATION_SHARE
    opening: NDArray[np.float64] = np.where(phase > relaxed, np.maximum(inflow, drifting), 0.0)
    return opening
