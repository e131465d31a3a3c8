"""An ECG and the orders that are known: which it answers, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from node.domain.order import Order, ScheduledOrder
from node.domain.study import Patient, Study
from node.workflow.reconcile import reconcile, stated_order

JANE = Patient(patient_id="P1", name="Doe^Jane", birth_date=date(1970, 1, 1), sex="F")
STUDY = Study(
    patient=JANE,
    study_instance_uid="1.2.3",
    series_instance_uid="1.2.3.1",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1",
    sop_instance_uid="1.2.3.1.1",
    accession_number="A1",
    performed_at=datetime(2026, 11, 26, 8, tzinfo=UTC),
)
ORDER = Order(accession_number="A1", filler_order_number="F1", requested_procedure_id="R1")
KNOWN = ScheduledOrder(order=ORDER, patient=JANE, study_instance_uid="1.2.3")


def order_of(number: str) -> Order:
    return replace(ORDER, accession_number=number, filler_order_number=f"F-{number}")


def test_the_order_of_the_study_comes_before_that_of_the_accession_number() -> None:
    others = [
        replace(KNOWN, study_instance_uid="1.2.4"),
        replace(KNOWN, order=Order(filler_order_number="F9")),
    ]
    found = reconcile(STUDY, others)
    assert found.is_scheduled and found.doubt is None
    assert found.order == Order(accession_number="A1", filler_order_number="F9")


def test_of_several_orders_in_the_study_the_one_the_ecg_names_is_its() -> None:
    found = reconcile(STUDY, [replace(KNOWN, order=order_of("A2")), KNOWN])
    assert found.doubt is None and found.order == ORDER


def test_an_order_without_a_study_is_found_by_its_accession_number() -> None:
    found = reconcile(STUDY, [replace(KNOWN, study_instance_uid="")])
    assert found.is_scheduled and found.doubt is None and found.order == ORDER


def test_an_ecg_without_an_order_keeps_what_it_states() -> None:
    other = replace(KNOWN, order=order_of("A2"), study_instance_uid="9.9")
    for known in ([], [other]):
        found = reconcile(STUDY, known)
        assert not found.is_scheduled and found.doubt is None
        assert found.order == stated_order(STUDY) == Order(accession_number="A1")


def test_an_empty_accession_number_is_nobodys() -> None:
    nameless = replace(KNOWN, order=Order(), study_instance_uid="9.9")
    assert not reconcile(replace(STUDY, accession_number=""), [nameless]).is_scheduled


def test_what_only_the_ecg_states_stays() -> None:
    study = replace(STUDY, placer_order_number="PLACER")
    order = reconcile(study, [KNOWN]).order
    assert order == replace(ORDER, placer_order_number="PLACER")


def test_of_several_procedures_of_one_accession_stays_what_they_agree_in() -> None:
    second = replace(KNOWN, order=replace(ORDER, requested_procedure_id="R2"))
    found = reconcile(STUDY, [KNOWN, second])
    assert found.doubt is None and found.order == replace(ORDER, requested_procedure_id="")


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(JANE, patient_id="P2"), "Patient ID"),
        (replace(JANE, birth_date=date(1971, 1, 1)), "birth date"),
        (replace(JANE, sex="M"), "sex"),
        (replace(JANE, name="Roe^Jane"), "family name"),
        (replace(JANE, name="Roe^Jane=同^名"), "family name"),
    ],
)
def test_another_patient_in_the_order_is_a_doubt_that_names_no_value(
    other: Patient, named: str
) -> None:
    doubt = reconcile(STUDY, [KNOWN, replace(KNOWN, patient=other)]).doubt
    assert doubt is not None and doubt.startswith(f"the order of this ECG has another {named};")
    for value in ("P1", "P2", "Roe", "Doe", "1971", "1970"):
        assert value not in doubt


def test_another_accession_number_in_the_order_of_the_study_is_a_doubt() -> None:
    doubt = reconcile(STUDY, [replace(KNOWN, order=order_of("A9"))]).doubt
    assert doubt is not None and "another accession number" in doubt and "A9" not in doubt


@pytest.mark.parametrize(
    "other",
    [
        Patient(),
        replace(JANE, name="DOE^JANE^^Dr", birth_date=None, sex="O"),
        replace(JANE, name="Dö-e^J"),
        replace(JANE, name="山田^太郎"),
        replace(JANE, name="Doe^Jane=山田^太郎"),
        replace(JANE, name="=山田^太郎"),
        replace(JANE, name="Jane Doe"),
        replace(JANE, patient_id="X", issuer_of_patient_id="ELSEWHERE"),
    ],
)
def test_what_is_left_out_or_written_in_another_way_is_no_doubt(other: Patient) -> None:
    study = replace(STUDY, patient=replace(JANE, name="Doe^Jane", issuer_of_patient_id="HERE"))
    assert reconcile(study, [replace(KNOWN, patient=other)]).doubt is None
