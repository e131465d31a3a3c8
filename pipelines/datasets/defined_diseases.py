"""Diseases that are defined by phenotypes, where the phenotypes are known."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Final

from node.domain.ecg import Subject
from pipelines.cohort.phenotypes import DYSFUNCTION_LVEF, HYPERTROPHY_G_PER_M2

LVEF, LV_MASS = "24103", "24105"
LV_SYSTOLIC_DYSFUNCTION: Final = "lv-systolic-dysfunction"
LV_HYPERTROPHY: Final = "lv-hypertrophy"


def defined_labels(phenotypes: Mapping[str, float], subject: Subject) -> dict[str, int]:
    """Disease -> 0 or 1, by the definitions and thresholds of DISEASES; the others are absent.

    phenotypes: by field id. Hypertrophy needs the LV mass, and the subject's sex, height and
    weight for the body surface area (Mosteller).
    """
    found: dict[str, int] = {}
    if LVEF in phenotypes:
        found[LV_SYSTOLIC_DYSFUNCTION] = int(phenotypes[LVEF] < DYSFUNCTION_LVEF)
    threshold = HYPERTROPHY_G_PER_M2.get(subject.sex or "")
    body = subject.height_cm, subject.weight_kg
    if LV_MASS in phenotypes and threshold and body[0] is not None and body[1] is not None:
        surface_m2 = sqrt(body[0] * body[1] / 3600.0)
        found[LV_HYPERTROPHY] = int(phenotypes[LV_MASS] / surface_m2 > threshold)
    return found
