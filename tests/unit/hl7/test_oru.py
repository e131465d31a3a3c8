"""ORU^R01: python-hl7 and hl7types read back every number, unit and code that went in."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes as dicom_codes

from node.domain.code import Code, ConceptCode
from node.domain.errors import BundleError, ConfigurationError, UnsupportedInstance
from node.domain.order import Order
from node.domain.prediction import Prediction
from node.domain.reference_range import ReferenceRange, ReferenceRanges
from node.domain.study import Patient, Study, StudyReferences
from node.domain.wording import CORRECTED, SYNTHETIC
from node.hl7.message import CODECS, Header, read_header
from node.hl7.oru import build_oru
from node.hl7.profile import SEGMENT_PLACES, Party, Profile, read_profile
from tests.result_phantom import DISEASES, ESTIMATES, NOTE, model, prediction

LEFT_VENTRICLE = Code(value="87878005", scheme="SCT", meaning="Left ventricle")
REFERENCES = StudyReferences(
    study_uid="1.2.826.0.1.3680043.8.498.2", report_uid="2.25.1001", cine_uid="2.25.1002"
)
VERSIONS = ["2.3.1", "2.4", "2.5.1"]
NO_RANGES = ReferenceRanges(statement="Reference: nobody", by_field={})
RANGES = ReferenceRanges(
    statement="Reference: the healthy",
    by_field={
        "24100": ReferenceRange(lower=150.3, upper=200),  # printed 150.2
        "24101": ReferenceRange(lower=64.5, upper=90),  # printed 64.5
        "24103": ReferenceRange(lower=48, upper=56.9),  # printed 57.0
    },
)
AUTHORITY = {
    "issuer_of_patient_id": "HOSPITAL",
    "issuer_universal_id": "1.2.40.0.13",
    "issuer_universal_id_type": "ISO",
}


def ucum(unit: str) -> Code:
    return Code(value=unit, scheme="UCUM", meaning="percent" if unit == "%" else unit)


CODES = {
    **{
        estimate.field_id: ConceptCode(
            code=Code(value=f"{place}-1", scheme="LN", meaning=f"Concept & {place}"),
            site=LEFT_VENTRICLE if place % 2 else None,
            unit=ucum(estimate.unit),
        )
        for place, estimate in enumerate(ESTIMATES)
    },
    **{
        disease.field_id: ConceptCode(
            code=Code(value=f"P{place}", scheme="99CARDIONODE", meaning=disease.name),
            unit=ucum("1"),
        )
        for place, disease in enumerate(DISEASES)
    },
}


def study(*, name: str = "Doe^Jane^Q^Dr^Jr", patient_id: str = "P-1", sex: str = "F") -> Study:
    return Study(
        patient=Patient(
            patient_id=patient_id,
            name=name,
            birth_date=date(1960, 1, 2),
            sex=sex,
            **AUTHORITY,
        ),
        study_instance_uid="1.2.826.0.1.3680043.8.498.2",
        series_instance_uid="1.2.826.0.1.3680043.8.498.3",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.9.1.1",
        sop_instance_uid="1.2.826.0.1.3680043.8.498.1",
        accession_number="A-1",
        performed_at=datetime(2024, 2, 29, 23, 59, 58),
    )


def oru(
    answer: Prediction | None = None,
    subject: Study | None = None,
    order: Order | None = None,
    profile: Profile | None = None,
    is_correction: bool = False,
    ranges: ReferenceRanges = NO_RANGES,
    pdf: bytes | None = None,
) -> bytes:
    return build_oru(
        answer or prediction(),
        subject or study(),
        order,
        profile or Profile(),
        control_id="CN0123456789ABCDEF01",
        filler_number="CN0123456789ABCDEF00",
        codes=CODES,
        references=REFERENCES,
        ranges=ranges,
        pdf=pdf,
        is_correction=is_correction,
    )


def fields(message: bytes, segment: str) -> list[str]:
    """The first such segment by plain splitting: field n at index n (MSH: n - 1)."""
    lines = message.decode().split("\r")
    return next(line.split("|") for line in lines if line.startswith(segment))


def observed(message: bytes) -> Iterator[Any]:
    """OBX segments as python-hl7 reads them."""
    yield from hl7.parse(message.decode()).segments("OBX")


def types_of(message: bytes, codec: str = "utf-8") -> Any:
    hl7types = pytest.importorskip("hl7types")
    return hl7types.decode_er7(message.decode(codec))


def typed_observations(message: bytes) -> list[Any]:
    request = types_of(message).PATIENT_RESULT[0].ORDER_OBSERVATION[0]
    return [group.OBX for group in request.OBSERVATION]


def test_python_hl7_reads_every_estimate_with_its_interval_unit_and_code() -> None:
    numbers = {str(obx[4]): obx for obx in observed(oru()) if str(obx[2]) == "NM"}
    for group, estimate in enumerate(ESTIMATES, start=1):
        value, lower, upper = (numbers[f"{group}.{member}"] for member in (1, 2, 3))
        printed = [estimate.text(each) for each in (estimate.value, estimate.lower, estimate.upper)]
        middle, low, high = (Decimal(text) for text in printed)
        assert str(value[5]) == printed[0]
        assert middle - Decimal(str(lower[5])) == low
        assert middle + Decimal(str(upper[5])) == high
        assert {str(obx[6]).split("^")[0] for obx in (value, lower, upper)} == {estimate.unit}
        assert {str(obx[6]).split("^")[2] for obx in (value, lower, upper)} == {"UCUM"}
        concept = CODES[estimate.field_id].code
        assert str(value[3]).split("^")[0:3:2] == [concept.value, "LN"]
        assert str(value[3]).split("^")[3:] == [estimate.field_id, estimate.name, "99CARDIONODE"]
        assert str(lower[3]).split("^")[0] == "371885007"
        assert str(upper[3]).split("^")[0] == "371886008"


def test_hl7types_reads_every_estimate_probability_and_site() -> None:
    typed = {obx.obx_4: obx for obx in typed_observations(oru())}
    for group, estimate in enumerate(ESTIMATES, start=1):
        concept = CODES[estimate.field_id]
        obx = typed[f"{group}.1"]
        assert obx.obx_5 == [estimate.text(estimate.value)]
        assert (obx.obx_3.ce_1, obx.obx_3.ce_2, obx.obx_3.ce_3) == (
            concept.code.value,
            concept.code.meaning,
            "LN",
        )
        assert (obx.obx_6.ce_1, obx.obx_6.ce_3) == (estimate.unit, "UCUM")
        site = typed.get(f"{group}.4")
        assert (site is None) == (concept.site is None)
        if site is not None:
            assert (site.obx_3.ce_1, str(site.obx_5[0]).split("^")[0]) == ("363698007", "87878005")
    for group, disease in enumerate(DISEASES, start=len(ESTIMATES) + 1):
        obx = typed[f"{group}.1"]
        assert obx.obx_5 == [f"{disease.probability:.3f}"]
        assert (obx.obx_3.ce_1, obx.obx_6.ce_1) == (CODES[disease.field_id].code.value, "1")


def test_the_codes_of_the_frame_are_those_of_ps3_16() -> None:
    by_value = {obx.obx_3.ce_1: obx for obx in typed_observations(oru())}
    for concept in (
        dicom_codes.LN.HeartRate,
        dicom_codes.SCT.FindingSite,
        dicom_codes.DCM.Findings,
        dicom_codes.SCT.RangeOfLowerMeasurementUncertainty,
        dicom_codes.SCT.RangeOfUpperMeasurementUncertainty,
    ):
        assert by_value[concept.value].obx_3.ce_3 == concept.scheme_designator
    assert by_value["8867-4"].obx_5 == ["75"]
    assert dicom_codes.DCM.Study.value == "113014"


def test_the_references_describe_and_do_not_observe() -> None:
    stated = {
        str(obx[3]).split("^")[0]: (str(obx[5]), str(obx[11]))
        for obx in observed(oru())
        if str(obx[2]) == "ST"
    }
    assert stated == {
        "113014": ("1.2.826.0.1.3680043.8.498.2", "O"),
        "REPORT-UID": ("2.25.1001", "O"),
        "CINE-UID": ("2.25.1002", "O"),
    }


def test_without_a_cine_none_is_referred_to() -> None:
    message = build_oru(
        prediction(with_cine=False),
        study(),
        None,
        Profile(),
        control_id="1",
        filler_number="2",
        codes=CODES,
        references=replace(REFERENCES, cine_uid=None),
        ranges=NO_RANGES,
    )
    assert b"CINE-UID" not in message


def test_the_readable_report_begins_with_what_it_is_not() -> None:
    lines = [str(obx[5]) for obx in observed(oru()) if str(obx[2]) == "TX"]
    assert lines[0] == "AI ESTIMATE FROM ECG - SYNTHETIC - NOT VERIFIED BY A PHYSICIAN"
    assert lines[1] == "Model trained on SIMULATED data: not for clinical use"
    assert "24103: 57.0 % (90 % prediction interval 49.9 to 64.2 %)" in lines
    assert "Probability of LVSD: 0.031" in lines
    assert "Heart rate of the ECG: 75 /min" in lines
    assert NOTE.message in lines
    assert lines[-1] == "Model: phantom 1.2.3 (0123456789ab), onnxruntime 1.32.0 CPU, fp32"
    assert len(lines) == 2 + len(ESTIMATES) + len(DISEASES) + 1 + 1 + 1
    preset = replace(prediction(), model=replace(model(), preset="mean"))
    told = [str(obx[5]) for obx in observed(oru(preset)) if str(obx[2]) == "TX"][-1]
    assert told.endswith("(0123456789ab), preset mean, onnxruntime 1.32.0 CPU, fp32")


def test_without_estimates_the_heart_rate_and_the_references_are_what_is_sent() -> None:
    rows = list(observed(oru(replace(prediction(), estimates=(), diseases=()))))
    assert [str(obx[3][0][0]) for obx in rows if str(obx[2]) == "NM"] == ["8867-4"]
    assert [str(obx[5]) for obx in rows if str(obx[2]) == "ST"][-1] == REFERENCES.cine_uid
    lines = [str(obx[5]) for obx in rows if str(obx[2]) == "TX"]
    assert lines[0] == "AI ESTIMATE FROM ECG - SYNTHETIC - NOT VERIFIED BY A PHYSICIAN"
    assert not any("prediction interval" in line for line in lines)


def test_a_model_of_real_data_is_not_called_simulated() -> None:
    message = oru(replace(prediction(), model=model(simulated=False)))
    assert b"SIMULATED" not in message
    assert b"NOT VERIFIED BY A PHYSICIAN" in message


def test_the_readable_report_can_be_left_out() -> None:
    assert {str(obx[2]) for obx in observed(oru(profile=Profile(text_report=False)))} == {
        "NM",
        "CE",
        "ST",
    }


def referenced(message: bytes) -> dict[str, tuple[str, str]]:
    """OBX-7 and OBX-8 of each number, by OBX-4."""
    return {
        str(obx[4]): (str(obx[7]), str(obx[8])) for obx in observed(message) if str(obx[2]) == "NM"
    }


def test_a_range_stands_beside_the_value_it_is_for_and_no_other_number() -> None:
    told = referenced(oru(ranges=RANGES))
    assert {place: each for place, each in told.items() if each != ("", "")} == {
        "1.1": ("150.3-200", ""),
        "2.1": ("64.5-90", ""),
        "3.1": ("48-56.9", ""),
    }


def test_flags_follow_from_the_number_that_is_printed_where_they_are_wanted() -> None:
    told = referenced(oru(ranges=RANGES, profile=Profile(abnormal_flags=True)))
    flags = {place: flag for place, (_, flag) in told.items() if flag}
    assert flags == {"1.1": "L", "2.1": "N", "3.1": "H"}  # HL7 table 0078


def test_readers_are_told_whose_ranges_they_are_where_there_are_any() -> None:
    assert RANGES.statement in [str(obx[5]) for obx in observed(oru(ranges=RANGES))]
    others = replace(RANGES, by_field={"99999": ReferenceRange(lower=0, upper=1)})
    for none in (NO_RANGES, others):
        assert b"Reference: " not in oru(ranges=none)


def test_observations_are_numbered_and_named_apart() -> None:
    rows = list(observed(oru()))
    assert [str(obx[1]) for obx in rows] == [str(place) for place in range(1, len(rows) + 1)]
    assert len({str(obx[4]) for obx in rows}) == len(rows)


@pytest.mark.parametrize("version", VERSIONS)
def test_hl7apy_finds_nothing_wrong_when_it_parses_the_bytes_again(version: str) -> None:
    message = oru(profile=Profile(version=version))
    parsed = parse_message(message.decode(), validation_level=VALIDATION_LEVEL.TOLERANT)
    assert parsed.validate()
    assert parsed.to_er7().rstrip("\r") == message.decode().rstrip("\r")
    assert read_header(message).version == version


PDF = b"%PDF-1.4 \xff|^~\\&\r\n"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "layout", ["^application^pdf^Base64", "CARDIONODE^PDF^PDF^Base64", "^AP^PDF^Base64"]
)
def test_the_document_is_the_last_result_in_the_layout_the_site_knows(
    version: str, layout: str
) -> None:
    profile = Profile.model_validate({"version": version, "pdf_layout": layout})
    message = oru(pdf=PDF, profile=profile)
    *others, last = observed(message)
    assert {str(obx[2]) for obx in others} == {"NM", "CE", "ST", "TX"}
    assert (str(last[2]), str(last[3]), str(last[11])) == (
        "ED",
        "SUMMARY-PDF^Summary as PDF^99CARDIONODE",
        "R",
    )
    *told, data = str(last[5]).split("^")
    assert "^".join(told) == layout
    assert b64decode(data, validate=True) == PDF
    assert parse_message(message.decode(), validation_level=VALIDATION_LEVEL.TOLERANT).validate()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_link_leads_to_the_study_whatever_its_numbers_are_made_of(version: str) -> None:
    profile = Profile.model_validate(
        {"version": version, "study_link": "https://v.example/#/?s={study_uid}&a={accession}~{{x}}"}
    )
    subject = replace(study(), accession_number="A/1 &ü")
    (link,) = [obx for obx in typed_observations(oru(subject=subject, profile=profile))
               if obx.obx_2 == "RP"]  # fmt: skip
    assert link.obx_5 == [
        "https://v.example/#/?s=1.2.826.0.1.3680043.8.498.2&a=A%2F1%20%26%C3%BC~{x}"
    ]
    assert link.obx_11 == "O"


def test_a_link_that_lacks_a_number_is_left_out() -> None:
    subject = replace(study(), accession_number="")
    for link, count in (("https://v/{accession}", 0), ("https://v/{study_uid}", 1)):
        message = oru(subject=subject, profile=Profile(study_link=link))
        assert message.count(b"|RP|") == count


ORDERED = Order(
    placer_order_number="PL^9",
    filler_order_number="FI&9",
    accession_number="ACC9",
    requested_procedure_id="RP9",
)


@pytest.mark.parametrize("version", VERSIONS)
def test_segments_of_the_sites_own_stand_last_with_what_is_known(version: str) -> None:
    named = [f"{{{name}}}" for name in SEGMENT_PLACES]
    profile = Profile.model_validate(
        {
            "version": version,
            "z_segments": [["ZDS", "{study_uid}^CARDIONODE^Application^DICOM"], ["ZA1", *named]],
        }
    )
    message = oru(order=ORDERED, profile=profile)
    *_, first, second = message.decode().rstrip("\r").split("\r")
    assert first == "ZDS|1.2.826.0.1.3680043.8.498.2^CARDIONODE^Application^DICOM"
    assert dict(zip(SEGMENT_PLACES, second.split("|")[1:], strict=True)) == {
        "study_uid": REFERENCES.study_uid,
        "accession": "ACC9",
        "report_uid": REFERENCES.report_uid,
        "cine_uid": REFERENCES.cine_uid,
        "patient_id": "P-1",
        "placer_order_number": "PL\\S\\9",
        "filler_order_number": "FI\\T\\9",
        "requested_procedure_id": "RP9",
    }
    assert parse_message(message.decode(), validation_level=VALIDATION_LEVEL.TOLERANT).validate()


def test_a_segment_of_the_sites_own_may_have_nothing_to_say() -> None:
    profile = Profile.model_validate({"z_segments": [["ZPO", "{placer_order_number}", ""]]})
    assert oru(profile=profile).endswith(b"\rZPO|\r")


@pytest.mark.parametrize(
    ("first", "second", "sent"),
    [
        ("accession", "none", ["ACC9"]),
        ("accession", "requested-procedure-id", ["ACC9", "RP9"]),
        ("requested-procedure-id", "accession", ["RP9", "ACC9"]),
        ("none", "none", [""]),
    ],
)
def test_sites_choose_what_the_placer_fields_hold(first: str, second: str, sent: list[str]) -> None:
    profile = Profile.model_validate({"placer_field_1": first, "placer_field_2": second})
    obr = fields(oru(order=ORDERED, profile=profile), "OBR")
    assert obr[18:20] == [*sent, ""][:2]


def test_spaces_alone_are_no_number_of_an_order() -> None:
    message = oru(order=Order(placer_order_number="\x01 ", accession_number="A-2"))
    assert b"\rORC|RE\r" in message


def test_what_the_structure_does_not_allow_never_leaves() -> None:
    """OBX-11 is required; only a profile that nothing validated leaves it out."""
    without_status = Profile().model_copy(update={"result_status": ""})
    with pytest.raises(ConfigurationError, match=r"Missing required child OBX\.OBX_11"):
        oru(profile=without_status)


def test_the_same_input_gives_the_same_bytes() -> None:
    assert oru() == oru()


def test_all_times_are_the_ecgs() -> None:
    message = oru()
    assert fields(message, "MSH")[6] == "20240229235958"
    assert fields(message, "OBR")[7] == fields(message, "OBR")[22] == "20240229235958"
    assert {str(obx[14]) for obx in observed(message)} == {"20240229235958"}
    aware = replace(study(), performed_at=datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC))
    assert fields(oru(subject=aware), "MSH")[6] == "20240229235958+0000"


def test_segments_end_with_cr_and_stand_in_the_order_of_the_structure() -> None:
    message = oru()
    assert b"\n" not in message
    assert message.endswith(b"\r")
    assert not message.endswith(b"\r\r")
    names = [line[:3] for line in message.decode().split("\r")[:-1]]
    assert names == ["MSH", "PID", "PV1", "ORC", "OBR"] + ["OBX"] * (len(names) - 5)


def test_the_header_is_the_profiles() -> None:
    profile = Profile(
        processing_id="T",
        acknowledgement_mode="enhanced",
        sending=Party(application="CN", facility="ECG"),
        receiving=Party(application="RIS", facility="HOSP"),
    )
    assert read_header(oru(profile=profile)) == Header(
        sending_application="CN",
        sending_facility="ECG",
        receiving_application="RIS",
        receiving_facility="HOSP",
        message_type="ORU",
        trigger="R01",
        control_id="CN0123456789ABCDEF01",
        written_control_id="CN0123456789ABCDEF01",
        processing_id="T",
        version="2.5.1",
        accept_acknowledgement="AL",
        application_acknowledgement="NE",
        charset="UNICODE UTF-8",
    )
    assert not read_header(oru()).enhanced


def test_nobody_appears_to_have_verified_the_result() -> None:
    message = oru()
    obr = fields(message, "OBR")
    assert obr[24:26] == ["RAD", "R"]
    assert len(obr) <= 32 or obr[32] == ""
    assert {str(obx[11]) for obx in observed(message)} == {"R", "O"}
    preliminary = oru(profile=Profile(result_status="P"))
    assert fields(preliminary, "OBR")[25] == "P"
    assert {str(obx[11]) for obx in observed(preliminary)} == {"P", "O"}


def test_the_model_is_the_method_and_the_device() -> None:
    value = next(observed(oru()))
    assert str(value[17]) == "phantom^phantom 1.2.3^99CARDIONODE"
    assert str(value[18]) == "phantom 1.2.3^CARDIONODE"


def test_an_order_is_echoed_exactly() -> None:
    order = Order(
        placer_order_number="PL^9",
        filler_order_number="FI&9",
        accession_number="ACC9",
        procedure=Code(value="ECG12", scheme="L", meaning="12-lead ECG"),
    )
    message = oru(order=order)
    obr = types_of(message).PATIENT_RESULT[0].ORDER_OBSERVATION[0].OBR
    orc = types_of(message).PATIENT_RESULT[0].ORDER_OBSERVATION[0].ORC
    assert (orc.orc_1, orc.orc_2.ei_1) == ("RE", "PL^9")
    assert (obr.obr_2.ei_1, obr.obr_3.ei_1, obr.obr_18) == ("PL^9", "FI&9", "ACC9")
    assert (obr.obr_4.ce_1, obr.obr_4.ce_2, obr.obr_4.ce_3) == ("ECG12", "12-lead ECG", "L")
    assert obr.obr_44.ce_1 == "ECG12"


def test_without_an_order_the_filler_is_the_accession_number_else_of_the_ecg() -> None:
    assert fields(oru(), "OBR")[2:5] == [
        "",
        "A-1",
        "ECG2CMR^AI estimate of cardiac MR from ECG^99CARDIONODE",
    ]
    bare = replace(study(), accession_number="")
    assert fields(oru(subject=bare), "OBR")[3] == "CN0123456789ABCDEF00"


def test_a_correction_says_so_in_every_result_and_to_the_reader() -> None:
    """Tables 0123 and 0085: C. What only describes the order stays so."""
    first, again = oru(), oru(is_correction=True)
    assert (fields(first, "OBR")[25], fields(again, "OBR")[25]) == ("R", "C")
    statuses = {str(obx[11]) for obx in observed(again)}
    assert statuses == {str(obx[11]) for obx in observed(first)} - {"R"} | {"C"}
    lines = [str(obx[5]) for obx in observed(again) if str(obx[2]) == "TX"]
    assert lines[:2] == [SYNTHETIC, CORRECTED]


def test_the_patient_is_identified_within_the_authority() -> None:
    pid = fields(oru(), "PID")
    assert pid[3] == "P-1^^^HOSPITAL&1.2.40.0.13&ISO^MR"
    assert pid[5] == "Doe^Jane^Q^Jr^Dr"  # DICOM: prefix before suffix; XPN: the other way round
    assert pid[7:9] == ["19600102", "F"]
    assert fields(oru(), "PV1")[2] == "U"


@pytest.mark.parametrize(("sex", "sent"), [("M", "M"), ("O", "O"), ("", "U"), ("X", "U")])
def test_a_sex_is_never_guessed(sex: str, sent: str) -> None:
    assert fields(oru(subject=study(sex=sex)), "PID")[8] == sent


def test_an_unknown_name_is_said_to_be_unspecified() -> None:
    assert fields(oru(subject=study(name="")), "PID")[5] == "^^^^^^U"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        (
            "Yamada^Tarou^^Dr=山田^太郎^^博士=やまだ^たろう",
            "Yamada^Tarou^^^Dr^^^A~山田^太郎^^^博士^^^I~やまだ^たろう^^^^^^P",
        ),
        ("=山田^太郎", "山田^太郎^^^^^^I"),
        ("Yamada^Tarou==やまだ^たろう", "Yamada^Tarou^^^^^^A~やまだ^たろう^^^^^^P"),
    ],
)
def test_each_group_of_a_name_is_a_repetition_that_says_what_it_is(name: str, sent: str) -> None:
    """HL7 v2.5.1 table 0465: A alphabetic, I ideographic, P phonetic."""
    assert fields(oru(subject=study(name=name)), "PID")[5] == sent


@pytest.mark.parametrize(
    ("name", "sent"),
    [("Yamada^Tarou=山田^太郎", "Yamada^Tarou"), ("=山田^太郎=やまだ^たろう", "山田^太郎^^^^^^I")],
)
def test_a_receiver_that_knows_one_name_gets_the_first(name: str, sent: str) -> None:
    message = oru(subject=study(name=name), profile=Profile(name_groups="first"))
    assert fields(message, "PID")[5] == sent


def test_an_ecg_without_patient_id_gives_no_message() -> None:
    with pytest.raises(UnsupportedInstance, match="Patient ID"):
        oru(subject=study(patient_id=""))


@pytest.mark.parametrize(
    "family", ["Müller", "山田", "O|Neil", "A&B", "C~D", "E\\F", "\\F\\", "\\E\\|", "김"]
)
def test_any_name_survives(family: str) -> None:
    message = oru(subject=study(name=f"{family}^Jane", patient_id=family))
    pid = types_of(message).PATIENT_RESULT[0].PATIENT.PID
    assert (pid.pid_5[0].xpn_1.fn_1, pid.pid_5[0].xpn_2) == (family, "Jane")
    assert pid.pid_3[0].cx_1 == family
    other = hl7.parse(message.decode())
    assert other.extract_field("PID", 1, 5, 1, 1) == family


@given(
    name=st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="^="), min_size=1)
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_printable_name_survives(name: str) -> None:
    message = oru(replace(prediction(), estimates=(), diseases=()), study(name=f"{name}^{name}"))
    pid = types_of(message).PATIENT_RESULT[0].PATIENT.PID
    assert (pid.pid_5[0].xpn_1.fn_1, pid.pid_5[0].xpn_2) == (name, name)


def test_a_control_character_cannot_start_a_segment() -> None:
    message = oru(subject=study(name="Doe\rOBX|1|NM^Jane"))
    assert fields(message, "PID")[5] == r"Doe OBX\F\1\F\NM^Jane"


NAMES = {
    "ASCII": ("ascii", "Mueller^Juergen"),
    "UNICODE UTF-8": ("utf-8", "山田^太郎"),
    "8859/1": ("iso8859-1", "Müller^Jürgen"),
    "8859/2": ("iso8859-2", "Dvořák^Zdeněk"),
    "8859/3": ("iso8859-3", "Ċensu^Ħamrun"),
    "8859/4": ("iso8859-4", "Šķēle^Andris"),
    "8859/5": ("iso8859-5", "Люкceмбypг^Анна"),
    "8859/6": ("iso8859-6", "قباني^لنزار"),
    "8859/7": ("iso8859-7", "Διονυσιος^Αννα"),
    "8859/8": ("iso8859-8", "שרון^דבורה"),
    "8859/9": ("iso8859-9", "Işık^Çağla"),
    "8859/15": ("iso8859-15", "Œuvrard^Žaneta"),
}


@pytest.mark.parametrize("charset", CODECS)
def test_msh_18_is_true_of_the_bytes(charset: str) -> None:
    codec, name = NAMES[charset]
    message = oru(subject=study(name=name), profile=Profile.model_validate({"charset": charset}))
    assert read_header(message).charset == charset
    pid = types_of(message, codec).PATIENT_RESULT[0].PATIENT.PID
    assert f"{pid.pid_5[0].xpn_1.fn_1}^{pid.pid_5[0].xpn_2}" == name


@pytest.mark.parametrize("charset", ["ISO IR87", "UNICODE UTF-16", "utf-8", ""])
def test_a_character_set_that_nobody_writes_is_refused_by_name(charset: str) -> None:
    with pytest.raises(ConfigurationError, match="charset: must be one of ASCII, UNICODE UTF-8"):
        read_profile(f'charset = "{charset}"')


@pytest.mark.parametrize("charset", ["8859/1", "8859/5", "ASCII"])
@pytest.mark.parametrize("name", ["山田", "Yamada^Tarou=山田^太郎"])
def test_a_name_the_charset_cannot_write_is_never_replaced(charset: str, name: str) -> None:
    profile = Profile.model_validate({"charset": charset})
    with pytest.raises(ConfigurationError, match="UNICODE UTF-8") as caught:
        oru(subject=study(name=name), profile=profile)
    assert "山" not in caught.value.message


def test_a_field_without_a_code_is_refused() -> None:
    unknown = replace(ESTIMATES[0], field_id="99999")
    with pytest.raises(BundleError, match="99999"):
        oru(replace(prediction(), estimates=(unknown,)))


def test_a_field_in_another_unit_than_its_code_is_refused() -> None:
    litres = replace(ESTIMATES[0], unit="L")
    with pytest.raises(BundleError, match="24100 is in L but its code is in mL"):
        oru(replace(prediction(), estimates=(litres,)))
