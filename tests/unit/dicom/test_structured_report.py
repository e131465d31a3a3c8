from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from node.dicom.filing import BESIDE_ECG, Filing
from node.dicom.structured_report import CineReference, build_no_result_report, build_report
from node.dicom.template import load_templates
from node.domain.code import Code
from node.domain.errors import BundleError, MalformedInstance, PredictionError
from node.domain.order import Order
from node.domain.prediction import Prediction
from tests.result_phantom import (
    DISEASES,
    ESTIMATES,
    NOTE,
    REFUSAL,
    ecg_head,
    estimate,
    model,
    prediction,
)

TEMPLATES = load_templates()
CINE = CineReference(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7.2",
    sop_instance_uids=("2.25.11",),
    series_instance_uid="2.25.12",
)


def build(
    made: Prediction | None = None,
    source: Dataset | None = None,
    cine: CineReference | None = CINE,
    uid: str = "2.25.21",
    order: Order | None = None,
    filing: Filing = BESIDE_ECG,
) -> bytes:
    return build_report(
        made or prediction(),
        ecg_head() if source is None else source,
        sop_instance_uid=uid,
        series_instance_uid="2.25.22",
        cine_reference=cine,
        templates=TEMPLATES,
        order=order,
        filing=filing,
    )


def refuse() -> bytes:
    return build_no_result_report(
        [REFUSAL, NOTE],
        ecg_head(),
        model(),
        sop_instance_uid="2.25.31",
        series_instance_uid="2.25.22",
        templates=TEMPLATES,
    )


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def walk(item: Dataset) -> Iterator[Dataset]:
    for child in item.get("ContentSequence", []):
        yield child
        yield from walk(child)


def named(dataset: Dataset, value: str) -> list[Dataset]:
    return [item for item in walk(dataset) if item.ConceptNameCodeSequence[0].CodeValue == value]


def text(number: Dataset) -> str:
    """Numeric Value as written, before anyone reads it as a number."""
    return number.MeasuredValueSequence[0]["NumericValue"].value.original_string


def child(item: Dataset, value: str) -> Dataset:
    (found,) = [
        each for each in item.ContentSequence if each.ConceptNameCodeSequence[0].CodeValue == value
    ]
    return found


def test_every_number_stands_as_text_digit_for_digit() -> None:
    dataset = read(build())
    for made in ESTIMATES:
        code = TEMPLATES.concept(made.field_id).code.value
        (number,) = named(dataset, code)
        assert text(number) == made.text(made.value)
        measured = number.MeasuredValueSequence[0]
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == made.unit
        assert measured.MeasurementUnitsCodeSequence[0].CodingSchemeDesignator == "UCUM"
        assert "FloatingPointValue" not in measured


def test_intervals_are_ranges_below_and_above_as_cid_225_has_them() -> None:
    (number,) = named(read(build()), "8811-2")  # 57.0, from 49.9 to 64.2
    lower, upper = child(number, "371885007"), child(number, "371886008")
    assert (text(lower), text(upper)) == ("7.1", "7.2")
    for item in (lower, upper):
        assert item.RelationshipType == "HAS PROPERTIES"
        unit = item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
        assert unit.CodeValue == "%"


def test_every_number_is_inferred_from_the_ecg() -> None:
    numbers = [
        item
        for item in walk(read(build()))
        if item.ValueType == "NUM" and item.RelationshipType == "CONTAINS"
    ]
    assert len(numbers) == len(ESTIMATES) + 1 + len(DISEASES)
    for number in numbers:
        source = child(number, "121112")
        assert (source.ValueType, source.RelationshipType) == ("WAVEFORM", "INFERRED FROM")
        assert source.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == (
            ecg_head().SOPInstanceUID
        )


def test_chambers_are_groups_with_a_site_and_a_tracking_uid_of_their_own() -> None:
    groups = named(read(build()), "125007")
    sites = [child(group, "363698007").ConceptCodeSequence[0].CodeValue for group in groups[:5]]
    assert sites == ["87878005", "53085002", "82471001", "73829009", "54247002"]
    tracking = {child(group, "112040").UID for group in groups}
    assert len(tracking) == len(groups)
    others = {child(group, "112040").UID for group in named(read(build(uid="2.25.99")), "125007")}
    assert not tracking & others


def test_a_wall_segment_has_its_own_site_inside_the_ventricle() -> None:
    (thickness,) = named(read(build()), "122445")
    site = child(thickness, "363698007").ConceptCodeSequence[0]
    assert site.CodeValue == "396646008"  # AHA segment 3, basal inferoseptal


def test_the_algorithm_is_named_where_the_model_answered_and_not_for_the_heart_rate() -> None:
    *_, heart_rate, dysfunction, _ = named(read(build()), "125007")
    assert child(dysfunction, "111001").TextValue == "phantom"
    assert child(dysfunction, "111003").TextValue == "1.2.3"
    assert child(dysfunction, "111000").ConceptCodeSequence[0].CodeValue == "123110"
    assert text(child(heart_rate, "8867-4")) == "75"
    assert not named(heart_rate, "111001")


def test_a_disease_screen_is_a_probability_under_the_disease() -> None:
    *_, dysfunction, hypertrophy = named(read(build()), "125007")
    for group, disease, expected in (
        (dysfunction, "134401001", "0.031"),
        (hypertrophy, "55827005", "0.250"),
    ):
        assert child(group, "121071").ConceptCodeSequence[0].CodeValue == disease
        assert text(child(group, "122157")) == expected
        assert "not a diagnosis" in child(group, "112039").TextValue


def test_nobody_verified_it_and_it_says_so() -> None:
    for dataset in (read(build()), read(refuse())):
        assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.34"
        assert dataset.CompletionFlag == "COMPLETE"
        assert dataset.VerificationFlag == "UNVERIFIED"
        assert dataset.PreliminaryFlag == "PRELIMINARY"
        assert (dataset.SyntheticData, dataset.ContentQualification) == ("YES", "RESEARCH")
        assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "1500"
        procedure = child(dataset, "121058").ConceptCodeSequence[0]
        assert procedure.CodeValue == "268400002"


def test_statements_say_what_the_model_is_for_and_what_was_found() -> None:
    said = [item.TextValue for item in walk(read(build())) if item.ValueType == "TEXT"]
    for expected in (model().intended_use, model().training_data, NOTE.message):
        assert expected in said
    assert any("NOT FOR CLINICAL USE" in sentence for sentence in said)
    assert any("onnxruntime 1.32.0 CPU, fp32" in sentence for sentence in said)
    assert any("90 %" in sentence for sentence in said)
    preset = replace(prediction(), model=replace(model(), preset="mean"))
    told = [item.TextValue for item in walk(read(build(preset))) if item.ValueType == "TEXT"]
    assert any("1.2.3, preset mean, onnxruntime 1.32.0 CPU, fp32" in line for line in told)
    real = read(build(prediction(simulated=False)))
    assert not any(
        "NOT FOR CLINICAL USE" in item.TextValue for item in walk(real) if item.ValueType == "TEXT"
    )


def test_a_report_with_a_cine_and_no_estimate_says_what_it_is_and_numbers_only_the_heart_rate() -> (
    None
):
    dataset = read(build(replace(prediction(), estimates=(), diseases=())))
    (group,) = named(dataset, "125007")
    assert text(child(group, "8867-4")) == "75"
    (image,) = [item for item in walk(dataset) if item.ValueType == "IMAGE"]
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == CINE.sop_instance_uids[0]
    said = [item.TextValue for item in walk(dataset) if item.ValueType == "TEXT"]
    assert f"{TEMPLATES.report.cine_statement} {TEMPLATES.report.unverified}" in said
    assert not any("Prediction intervals" in sentence for sentence in said)
    assert dataset.SyntheticData == "YES"


def test_the_evidence_lists_the_ecg_and_the_cine() -> None:
    (study,) = read(build()).CurrentRequestedProcedureEvidenceSequence
    listed = {
        (series.SeriesInstanceUID, series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
    }
    ecg = ecg_head()
    assert listed == {
        (ecg.SeriesInstanceUID, ecg.SOPInstanceUID),
        (CINE.series_instance_uid, CINE.sop_instance_uids[0]),
    }


def test_the_order_is_named_where_there_is_one() -> None:
    order = Order(accession_number="A-1", requested_procedure_id="RP-1")
    (stated,) = read(build(order=order)).ReferencedRequestSequence
    assert (stated.AccessionNumber, stated.RequestedProcedureID) == ("A-1", "RP-1")
    assert stated.RequestedProcedureCodeSequence == []
    code = Code(value="1", scheme="SCT", meaning="Ruhe-EKG für alle")
    coded = replace(order, procedure=code, procedure_text="Ruhe-EKG für alle")
    (stated,) = read(build(order=coded)).ReferencedRequestSequence
    assert stated.RequestedProcedureDescription == "Ruhe-EKG für alle"
    assert stated.RequestedProcedureCodeSequence[0].CodeMeaning == "Ruhe-EKG für alle"
    (stated,) = read(build(order=coded, filing=Filing(character_set=()))).ReferencedRequestSequence
    assert stated.RequestedProcedureDescription == ""
    assert stated.RequestedProcedureCodeSequence == []
    assert "ReferencedRequestSequence" not in read(build())


def test_what_a_bundle_does_not_offer_is_absent() -> None:
    bare = replace(prediction(with_cine=False), estimates=(), diseases=(), findings=())
    dataset = read(build(bare, cine=None))
    numbers = [item for item in walk(dataset) if item.ValueType == "NUM"]
    assert len(numbers) == 1  # the heart rate
    assert not named(dataset, "111028")
    assert not named(dataset, "INTERVALS")


def test_a_report_without_result_gives_reasons_and_no_number() -> None:
    dataset, with_result = read(refuse()), read(build())
    assert dataset.ConceptNameCodeSequence == with_result.ConceptNameCodeSequence
    assert dataset.SeriesDescription == with_result.SeriesDescription
    assert not [item for item in walk(dataset) if item.ValueType == "NUM"]
    assert not named(dataset, "126010")
    (reason,) = named(dataset, "REFUSAL")
    assert reason.TextValue == REFUSAL.message
    (note,) = named(dataset, "ECG-FINDING")
    assert note.TextValue == NOTE.message
    (conclusion,) = named(dataset, "121077")
    assert conclusion.ConceptCodeSequence[0].CodeValue == "NO-ESTIMATE"


def test_times_are_the_ecgs_and_two_builds_are_the_same_bytes() -> None:
    dataset = read(build())
    assert (dataset.ContentDate, dataset.ContentTime) == ("20240229", "235958.500000")
    assert "InstanceCreationDate" not in dataset
    assert build() == build()
    assert refuse() == refuse()


def test_a_japanese_name_survives() -> None:
    name = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    dataset = read(build(source=ecg_head(name=name)))
    assert str(dataset.PatientName) == name
    assert dataset.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (estimate("24999", 1.0, 0.0, 2.0, "%"), BundleError),
        (estimate("lv-hypertrophy", 1.0, 0.0, 2.0, "1"), BundleError),
        (estimate("24103", 0.57, 0.4, 0.7, "1"), BundleError),
        (estimate("24103", 57.0, 58.0, 60.0, "%"), PredictionError),
        (estimate("24103", float("nan"), 40.0, 60.0, "%"), PredictionError),
        (estimate("24103", 1e17, 0.0, 2e17, "%"), PredictionError),
    ],
)
def test_a_number_that_cannot_be_told_is_refused_by_field(
    made: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        build(replace(prediction(), estimates=(made,)))


def test_an_ecg_without_a_usable_uid_is_malformed() -> None:
    source = ecg_head()
    del source.SOPInstanceUID
    with pytest.raises(MalformedInstance):
        build(source=source)


def test_a_number_of_the_ecg_that_is_none_is_malformed_and_not_told() -> None:
    """pydicom reads it as a text, and refuses to write it."""
    source = ecg_head()
    source["PatientSize"] = RawDataElement(Tag("PatientSize"), "DS", 6, b"180 cm", 0, False, True)
    with pytest.raises(MalformedInstance, match="PatientSize") as malformed:
        build(source=source)
    assert "180" not in malformed.value.message


@pytest.mark.parametrize("stated", ["bad", "+01", "+2500"])
def test_an_offset_that_is_none_is_left_out_of_account(stated: str) -> None:
    source = ecg_head()
    source.AcquisitionDateTime = "20240102030405+0100"
    source["TimezoneOffsetFromUTC"] = RawDataElement(
        Tag("TimezoneOffsetFromUTC"), "SH", len(stated), stated.encode(), 0, False, True
    )
    assert pydicom.dcmread(io.BytesIO(build(source=source))).ContentTime.startswith("030405")
