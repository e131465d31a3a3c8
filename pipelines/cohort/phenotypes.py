"""What a cardiac MR report would measure on a simulated heart: phenotypes and disease labels.

Field ids, names and units are UK Biobank's (fields 24100 to 24181), units as UCUM.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import heart
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


def _strain(field_id: str, name: str, minimum: float, maximum: float) -> Phenotype:
    return Phenotype(
        field_id=field_id, name=name, unit="%", decimals=1, minimum=minimum, maximum=maximum
    )


PHENOTYPES: tuple[Phenotype, ...] = (
    _volume("24100", "LV end diastolic volume", 50.0, 400.0),
    _volume("24101", "LV end systolic volume", 10.0, 320.0),
    _difference("24102", "LV stroke volume", ("24100", "24101"), 200.0),
    _fraction("24103", "LV ejection fraction", ("24100", "24101")),
    Phenotype(
        field_id="24104", name="LV cardiac output", unit="L/min", decimals=1, minimum=0.5,
        maximum=25.0, derivation=Derivation(kind="cardiac-output", of=("24102",)),
    ),
    Phenotype(
        field_id="24105", name="LV myocardial mass", unit="g", decimals=0, minimum=30.0,
        maximum=300.0,
    ),
    _volume("24106", "RV end diastolic volume", 50.0, 400.0),
    _volume("24107", "RV end systolic volume", 15.0, 300.0),
    _difference("24108", "RV stroke volume", ("24106", "24107"), 200.0),
    _fraction("24109", "RV ejection fraction", ("24106", "24107")),
    _volume("24110", "LA maximum volume", 15.0, 250.0),
    _volume("24111", "LA minimum volume", 4.0, 200.0),
    _difference("24112", "LA stroke volume", ("24110", "24111"), 150.0),
    _fraction("24113", "LA ejection fraction", ("24110", "24111")),
    _volume("24114", "RA maximum volume", 15.0, 300.0),
    _volume("24115", "RA minimum volume", 5.0, 250.0),
    _difference("24116", "RA stroke volume", ("24114", "24115"), 150.0),
    _fraction("24117", "RA ejection fraction", ("24114", "24115")),
    Phenotype(
        field_id="24140", name="LV mean myocardial wall thickness global", unit="mm", decimals=1,
        minimum=2.5, maximum=20.0,
    ),
    _strain("24157", "LV circumferential strain global", -40.0, -2.0),
    _strain("24174", "LV radial strain global", 3.0, 110.0),
    _strain("24181", "LV longitudinal strain global", -35.0, -2.0),
)  # fmt: skip

DISEASES: tuple[tuple[str, str], ...] = (
    ("lv-systolic-dysfunction", "Left ventricular systolic dysfunction (LVEF below 50 %)"),
    ("lv-hypertrophy", "Left ventricular hypertrophy (LV mass index above the sex's threshold)"),
)

# Mean + 2 SD of 804 healthy subjects: 53 +/- 9 and 42 +/- 7 g/m2 (Petersen 2017, JCMR 19:18).
HYPERTROPHY_G_PER_M2 = {"M": 71.0, "F": 56.0}
DYSFUNCTION_LVEF = 50.0


def measure_phenotypes(population: Population) -> NDArray[np.float64]:
    """(n, len(PHENOTYPES)) in the table's order and units."""
    p = population
    lv_stroke, rv_stroke = p.lvedv_ml - p.lvesv_ml, p.rvedv_ml - p.rvesv_ml
    la_stroke, ra_stroke = p.la_max_ml - p.la_min_ml, p.ra_max_ml - p.ra_min_ml
    short_length = p.lv_length_mm * (1.0 - p.lv_shortening)
    wall_ed = heart.wall_thickness_mm(p.lvedv_ml, p.lv_length_mm, p.lv_mass_g)
    wall_es = heart.wall_thickness_mm(p.lvesv_ml, short_length, p.lv_mass_g)
    midwall_ed = heart.cavity_radius_mm(p.lvedv_ml, p.lv_length_mm) + wall_ed / 2.0
    midwall_es = heart.cavity_radius_mm(p.lvesv_ml, short_length) + wall_es / 2.0
    columns = {
        "24100": p.lvedv_ml,
        "24101": p.lvesv_ml,
        "24102": lv_stroke,
        "24103": 100.0 * lv_stroke / p.lvedv_ml,
        "24104": lv_stroke * p.heart_rate_bpm / 1000.0,
        "24105": p.lv_mass_g,
        "24106": p.rvedv_ml,
        "24107": p.rvesv_ml,
        "24108": rv_stroke,
        "24109": 100.0 * rv_stroke / p.rvedv_ml,
        "24110": p.la_max_ml,
        "24111": p.la_min_ml,
        "24112": la_stroke,
        "24113": 100.0 * la_stroke / p.la_max_ml,
        "24114": p.ra_max_ml,
        "24115": p.ra_min_ml,
        "24116": ra_stroke,
        "24117": 100.0 * ra_stroke / p.ra_max_ml,
        "24140": wall_ed,
        "24157": 100.0 * (midwall_es / midwall_ed - 1.0),
        "24174": 100.0 * (wall_es / wall_ed - 1.0),
        "24181": -100.0 * p.lv_shortening,
    }
    return np.stack([columns[phenotype.field_id] for phenotype in PHENOTYPES], axis=1)


def label_diseases(population: Population) -> NDArray[np.bool_]:
    """(n, len(DISEASES)) in the table's order."""
    p = population
    ejection = 100.0 * (p.lvedv_ml - p.lvesv_ml) / p.lvedv_ml
    threshold = np.where(p.male, HYPERTROPHY_G_PER_M2["M"], HYPERTROPHY_G_PER_M2["F"])
    return np.stack([ejection < DYSFUNCTION_LVEF, p.lv_mass_g / p.surface_m2 > threshold], axis=1)
