from __future__ import annotations

import io
import re

import pydicom
from pydicom.dataset import Dataset

from node.dicom.report_reading import read_measurements, report_text
from node.dicom.structured_report import build_no_result_report, build_report
from node.dicom.template import load_templates
from tests.result_phantom import DISEASES, ESTIMATES, NOTE, REFUSAL, ecg_head, model, prediction

TEMPLATES = load_templates()


def report() -> Dataset:
    content = build_report(
        prediction(),
        ecg_head(),
        sop_instance_uid="2.25.21",
        series_instance_uid="2.25.22",
        cine_reference=None,
        templates=TEMPLATES,
    )
    return pydicom.dcmread(io.BytesIO(content))


def refusal() -> Dataset:
    content = build_no_result_report(
        [REFUSAL],
        ecg_head(),
        model(),
        sop_instance_uid="2.25.31",
        series_instance_uid="2.25.22",
        templates=TEMPLATES,
    )
    return pydicom.dcmread(io.BytesIO(content))


def test_numbers_and_bounds_come_back_as_the_prediction_prints_them() -> None:
    found = {(number.code, number.site): number for number in read_measurements(report())}
    assert len(found) == len(ESTIMATES) + 1 + len(DISEASES)
    for made in ESTIMATES:
        concept = TEMPLATES.concept(made.field_id)
        number = found[concept.code.value, concept.site.value if concept.site else ""]
        assert (number.value, number.lower, number.upper, number.unit) == (
            made.text(made.value),
            made.text(made.lower),
            made.text(made.upper),
            made.unit,
        )


def test_probabilities_come_back_under_their_disease_and_without_interval() -> None:
    found = {number.code: number for number in read_measurements(report())}
    for disease in DISEASES:
        number = found[TEMPLATES.concept(disease.field_id).code.value]
        assert (number.value, number.unit, number.site) == (disease.text(), "1", "")
        assert (number.lower, number.upper) == ("", "")


def test_the_text_says_everything_but_who_the_patient_is() -> None:
    said = report_text(report())
    for expected in (
        "unverified",
        "synthetic",
        "Left ventricular ejection fraction by MR",
        "57.0 %  (49.9 to 64.2)",
        "left ventricle basal inferoseptal segment",
        "NOT FOR CLINICAL USE",
        NOTE.message,
        model().intended_use,
    ):
        assert expected in said
    for secret in ("Doe", "P-1", "1960", "A-1", "Roe"):
        assert secret not in said


def test_the_warning_comes_before_the_numbers_which_stand_below_each_other() -> None:
    lines = report_text(report()).splitlines()
    warning = next(place for place, line in enumerate(lines) if "NOT FOR CLINICAL USE" in line)
    numbers = [place for place, line in enumerate(lines) if re.search(r" to -?[\d.]+\)$", line)]
    assert warning < numbers[0]
    values = [number.value for number in read_measurements(report()) if number.lower]
    ends = {
        lines[place].rindex(value, 0, lines[place].index("  (")) + len(value)
        for place, value in zip(numbers, values, strict=True)
    }
    assert len(ends) == 1


def test_the_text_of_a_refusal_says_why() -> None:
    said = report_text(refusal())
    assert "No estimate was made" in said
    assert REFUSAL.message in said
    assert read_measurements(refusal()) == ()
