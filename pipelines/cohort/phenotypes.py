"""What a cardiac MR report would measure on a simulated heart: phenotypes and disease labels.

Field ids, names and units are UK Biobank's (fields 24100 to 24181), units as UCUM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import heart
from pipelines.cohort.conditions import Cardiomyopathy, Territory
from pipelines.cohort.population import Population


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """How a phenotype follows from others."""

    kind: str
    """difference (a - b), ejection-fraction (100 (a - b) / a) or cardiac-output (a * HR / 1000)."""
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phenotype:
    """One row of the table: name, UCUM unit, printed digits and the range that is believable."""

    field_id: str
    name: str
    unit: str
    decimals: int
    minimum: float
    maximum: float
    derivation: Derivation | None = None


def _volume(field_id: str, name: str, minimum: float, maximum: float) -> Phenotype:
    return Phenotype(
        field_id=field_id, name=name, unit="mL", decimals=0, minimum=minimum, maximum=maximum
    )


def _difference(field_id: str, name: str, of: tuple[str, str], maximum: float) -> Phenotype:
    derivation = Derivation(kind="difference", of=of)
    return Phenotype(
        field_id=field_id, name=name, unit="mL", decimals=0, minimum=3.0, maximum=maximum,
        derivation=derivation,
    )  # fmt: skip


def _fraction(field_id: str, name: str, of: tuple[str, str]) -> Phenotype:
    derivation = Derivation(kind="ejection-fraction", of=of)
    return Phenotype(
        field_id=field_id, name=name, unit="%", decimals=0, minimum=5.0, maximum=90.0,
        derivation=derivation,
    )  # fmt: skip


def _aorta(first: int, name: str, minimum: float, maximum: float) -> tuple[Phenotype, ...]:
    """Largest and smallest area of a beat, and how far pressure widens it."""
    areas = [
        Phenotype(
            field_id=str(first + place), name=f"{name} {extreme} area", unit="mm2", decimals=0,
            minimum=minimum, maximum=maximum,
        )
        for place, extreme in enumerate(("maximum", "minimum"))
    ]  # fmt: skip
    widening = Phenotype(
        field_id=str(first + 2), name=f"{name} distensibility", unit="10*-3/mm[Hg]", decimals=2,
        minimum=0.05, maximum=12.0,
    )  # fmt: skip
    return (*areas, widening)


def _segments(
    first: int, count: int, name: str, segment: str, kind: Callable[[str, str], Phenotype]
) -> Iterator[Phenotype]:
    """One phenotype for each segment of the wall, then the whole."""
    for place in range(count):
        yield kind(str(first + place), f"{name} {segment} {place + 1}")
    yield kind(str(first + count), f"{name} global")


def _thickness(field_id: str, name: str) -> Phenotype:
    return Phenotype(field_id=field_id, name=name, unit="mm", decimals=1, minimum=2.0, maximum=30.0)


def _shortening(field_id: str, name: str) -> Phenotype:
    return Phenotype(field_id=field_id, name=name, unit="%", decimals=1, minimum=-45.0, maximum=0.0)


def _thickening(field_id: str, name: str) -> Phenotype:
    return Phenotype(field_id=field_id, name=name, unit="%", decimals=1, minimum=0.0, maximum=160.0)


PHENOTYPES: tuple[Phenotype, ...] = (
    _volume("24100", "LV end diastolic volume", 50.0, 400.0),
    _volume("24101", "LV end systolic volume", 10.0, 320.0),
    _difference("24102", "LV stroke volume", ("24100", "24101"), 200.0),
    _fraction("24103", "LV ejection fraction", ("24100", "24101")),
    Phenotype(
        field_id="24104",
        name="LV cardiac output",
        unit="L/min",
        decimals=1,
        minimum=0.5,
        maximum=25.0,
        derivation=Derivation(kind="cardiac-output", of=("24102",)),
    ),
    Phenotype(
        field_id="24105",
        name="LV myocardial mass",
        unit="g",
        decimals=0,
        minimum=30.0,
        maximum=300.0,
    ),
    _volume("24106", "RV end diastolic volume", 50.0, 400.0),
    _volume("24107", "RV end systolic volume", 15.0, 300.0),
    _difference("24108", "RV stroke volume", ("24106", "24107"), 200.0),
    _fraction("24109", "RV ejection fraction", ("24106", "24107")),
    _volume("24110", "LA maximum volume", 15.0, 250.0),
    _volume("24111", "LA minimum volume", 4.0, 220.0),
    _difference("24112", "LA stroke volume", ("24110", "24111"), 150.0),
    _fraction("24113", "LA ejection fraction", ("24110", "24111")),
    _volume("24114", "RA maximum volume", 15.0, 300.0),
    _volume("24115", "RA minimum volume", 5.0, 250.0),
    _difference("24116", "RA stroke volume", ("24114", "24115"), 150.0),
    _fraction("24117", "RA ejection fraction", ("24114", "24115")),
    *_aorta(24118, "Ascending aorta", 300.0, 2200.0),
    *_aorta(24121, "Descending aorta", 150.0, 1300.0),
    *_segments(24124, 16, "LV mean myocardial wall thickness", "AHA", _thickness),
    *_segments(24141, 16, "LV circumferential strain", "AHA", _shortening),
    *_segments(24158, 16, "LV radial strain", "AHA", _thickening),
    *_segments(24175, 6, "LV longitudinal strain", "Segment", _shortening),
)

DISEASES: tuple[tuple[str, str], ...] = (
    ("lv-systolic-dysfunction", "Left ventricular systolic dysfunction (LVEF below 50 %)"),
    ("lv-hypertrophy", "Left ventricular hypertrophy (LV mass index above the sex's threshold)"),
    ("cardiomyopathy", "Cardiomyopathy (dilated, hypertrophic or amyloid)"),
    ("myocardial-infarction", "Old myocardial infarction"),
    ("pulmonary-hypertension", "Pulmonary hypertension"),
)

# Mean + 2 SD of 804 healthy subjects: 53 +/- 9 and 42 +/- 7 g/m2 (Petersen 2017, JCMR 19:18).
HYPERTROPHY_G_PER_M2 = {"M": 71.0, "F": 56.0}
DYSFUNCTION_LVEF = 50.0


def measure_phenotypes(population: Population) -> NDArray[np.float64]:
    """(n, len(PHENOTYPES)) in the table's order and units."""
    p = population
    lv_stroke, rv_stroke = p.lvedv_ml - p.lvesv_ml, p.rvedv_ml - p.rvesv_ml
    la_stroke, ra_stroke = p.la_max_ml - p.la_min_ml, p.ra_max_ml - p.ra_min_ml
    chambers = [
        p.lvedv_ml, p.lvesv_ml, lv_stroke, 100.0 * lv_stroke / p.lvedv_ml,
        lv_stroke * p.heart_rate_bpm / 1000.0, p.lv_mass_g,
        p.rvedv_ml, p.rvesv_ml, rv_stroke, 100.0 * rv_stroke / p.rvedv_ml,
        p.la_max_ml, p.la_min_ml, la_stroke, 100.0 * la_stroke / p.la_max_ml,
        p.ra_max_ml, p.ra_min_ml, ra_stroke, 100.0 * ra_stroke / p.ra_max_ml,
    ]  # fmt: skip
    pulse = 1e-3 * p.central_pulse_mmhg
    aorta = [
        p.ascending_min_mm2 * (1.0 + p.ascending_distensibility * pulse),
        p.ascending_min_mm2, p.ascending_distensibility,
        p.descending_min_mm2 * (1.0 + p.descending_distensibility * pulse),
        p.descending_min_mm2, p.descending_distensibility,
    ]  # fmt: skip
    columns = np.stack([*chambers, *aorta], axis=1)
    return np.concatenate([columns, *_measure_walls(p)], axis=1)


def _measure_walls(p: Population) -> Iterator[NDArray[np.float64]]:
    """Thickness (n, 17), circumferential (n, 17), radial (n, 17) and longitudinal strain (n, 7).

    A segment thickens as far as its shortening along both other directions leaves it no other
    place (the muscle keeps its volume), scaled so that the mean is the whole wall's.
    """
    short_length = p.lv_length_mm * (1.0 - p.lv_shortening)
    wall_ed = heart.wall_thickness_mm(p.lvedv_ml, p.lv_length_mm, p.lv_mass_g)
    wall_es = heart.wall_thickness_mm(p.lvesv_ml, short_length, p.lv_mass_g)
    midwall_ed = heart.cavity_radius_mm(p.lvedv_ml, p.lv_length_mm) + wall_ed / 2.0
    midwall_es = heart.cavity_radius_mm(p.lvesv_ml, short_length) + wall_es / 2.0
    yield _with_mean(wall_ed[:, None] * p.wall_shares)
    circumferential = (midwall_es / midwall_ed - 1.0)[:, None] * p.activity_shares
    yield 100.0 * _with_mean(circumferential)
    longitudinal = -p.lv_shortening[:, None] * p.longitudinal_shares
    thickening = 1.0 / ((1.0 + circumferential) * (1.0 - p.lv_shortening[:, None])) - 1.0
    radial = (wall_es / wall_ed - 1.0)[:, None] * thickening / thickening.mean(1, keepdims=True)
    yield 100.0 * _with_mean(radial)
    yield 100.0 * _with_mean(longitudinal)


def _with_mean(segments: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([segments, segments.mean(axis=1, keepdims=True)], axis=1)


def label_diseases(population: Population) -> NDArray[np.bool_]:
    """(n, len(DISEASES)) in the table's order."""
    p = population
    ejection = 100.0 * (p.lvedv_ml - p.lvesv_ml) / p.lvedv_ml
    threshold = np.where(p.male, HYPERTROPHY_G_PER_M2["M"], HYPERTROPHY_G_PER_M2["F"])
    labels = [
        ejection < DYSFUNCTION_LVEF,
        p.lv_mass_g / p.surface_m2 > threshold,
        p.conditions.cardiomyopathy != Cardiomyopathy.NONE,
        p.conditions.territory != Territory.NONE,
        p.conditions.pulmonary_hypertension,
    ]
    return np.stack(labels, axis=1)
