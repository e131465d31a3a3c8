"""A result as FHIR: two readers find the numbers, units and codes of the message and the report.

fhirclient has the models of R4 (4.0.1), which refuse elements that are unknown, missing or of
another type; fhir.resources, which builds, has those of R4B.
"""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import hl7
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhirclient.models.bundle import Bundle as R4Bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.sr.codedict import codes as dicom_codes

from node.dicom.rendering import document
from node.dicom.report_reading import read_measurements
from node.domain.code import Code
from node.domain.delivery import ResultKind
from node.domain.errors import BundleError, InvalidResult, UnsupportedInstance
from node.domain.form import DEFAULT_FORM, CineForm, ReportForm, ResultForm, StudyForm
from node.domain.order import Order
from node.domain.prediction import Prediction
from node.domain.reference_range import ReferenceRanges
from node.domain.study import Study
from node.domain.wording import CORRECTED, READ_FROM_ECG, SIMULATED, SYNTHETIC, WITHDRAWN
from node.fhir.report import build_report
from node.fhir.site import Site
from node.fhir.withdrawal import is_withdrawal, report_number, withdraw_report
from node.hl7.profile import Profile
from node.workflow.compose import compose_message, compose_objects, compose_transaction
from tests.result_forms import TEMPLATES, record, source_of
from tests.result_phantom import DISEASES, ESTIMATES, NOTE, ecg_head, model, prediction
from tests.unit.hl7.test_oru import CODES, NO_RANGES, RANGES, REFERENCES, study

SITE = Site(time_zone=ZoneInfo("Europe/Vienna"))
NEWFOUNDLAND = timezone(timedelta(hours=-3, minutes=-30))
NUMBER = "6f1c1bd6-7b49-5d39-9a3d-0c1e7a4f2b11"
TRANSACTION = "0a5b7f6e-2f0e-5c38-8c7e-3c1c4a0d9e22"
ESTIMATED = Code(value="414135002", scheme="SCT", meaning="Estimated")
SYSTEMS = {
    "http://loinc.org": "LN",
    "http://snomed.info/sct": "SCT",
    "http://dicom.nema.org/resources/ontology/DCM": "DCM",
    "http://unitsofmeasure.org": "UCUM",
}
"""FHIR R4, terminologies-systems.html."""


def built(
    answer: Prediction | None = None,
    subject: Study | None = None,
    order: Order | None = None,
    site: Site = SITE,
    ranges: ReferenceRanges = NO_RANGES,
    pdf: bytes | None = None,
    replaces: bytes | None = None,
) -> bytes:
    return build_report(
        answer or prediction(),
        subject or study(),
        order,
        site,
        identifier=TRANSACTION,
        report_number=NUMBER,
        codes=CODES,
        derivation=ESTIMATED,
        references=REFERENCES,
        ranges=ranges,
        pdf=pdf,
        replaces=replaces,
    )


def resources(content: bytes, kind: str) -> list[dict[str, Any]]:
    """With numbers as they are written."""
    entries = json.loads(content, parse_float=Decimal, parse_int=Decimal)["entry"]
    found = [each["resource"] for each in entries]
    return [each for each in found if each["resourceType"] == kind]


def report_in(content: bytes) -> dict[str, Any]:
    (report,) = resources(content, "DiagnosticReport")
    return report


def observations(content: bytes) -> dict[str, dict[str, Any]]:
    """By the text of their code."""
    found = {each["code"]["text"]: each for each in resources(content, "Observation")}
    assert len(found) == len(resources(content, "Observation"))
    return found


def composed(form: ResultForm = DEFAULT_FORM, **changes: Any) -> bytes:
    given: dict[str, Any] = {"destination": "EHR", "site": SITE, "templates": TEMPLATES, **changes}
    return compose_transaction(prediction(), record(), source_of(ecg_head()), form, **given).content


def test_the_same_input_is_the_same_bytes() -> None:
    assert built(ranges=RANGES, pdf=b"%PDF") == built(ranges=RANGES, pdf=b"%PDF")
    assert composed() == composed()


def test_both_readers_read_back_what_was_built() -> None:
    for content in (built(ranges=RANGES, pdf=b"%PDF-1.4 \xff"), composed()):
        assert Bundle.model_validate_json(content).model_dump_json().encode() == content
        told = json.loads(content)
        assert R4Bundle(told).as_json() == told  # which refuses what is not R4


def numbers_of_fhir(content: bytes) -> Iterator[tuple[object, ...]]:
    """Code, scheme, value, bounds, unit and site of each number."""
    for each in resources(content, "Observation"):
        code, quantity = each["code"]["coding"][0], each["valueQuantity"]
        distances = {
            part["code"]["coding"][0]["code"]: part["valueQuantity"]
            for part in each.get("component", ())
        }
        value = quantity["value"]
        lower = upper = None
        if distances:
            assert {(q["code"], q["system"]) for q in distances.values()} == {
                (quantity["code"], quantity["system"])
            }
            lower = value - distances["371885007"]["value"]
            upper = value + distances["371886008"]["value"]
        assert SYSTEMS[quantity["system"]] == "UCUM"
        site = each["bodySite"]["coding"][0]["code"] if "bodySite" in each else ""
        scheme = SYSTEMS.get(code.get("system"), "99CARDIONODE")
        yield code["code"], scheme, value, lower, upper, quantity["code"], site


def numbers_of_the_message() -> Iterator[tuple[object, ...]]:
    content = compose_message(
        prediction(), record(), source_of(ecg_head()), DEFAULT_FORM,
        destination="RIS", profile=Profile(), templates=TEMPLATES,
    ).content  # fmt: skip
    obxs = {str(obx[4]): obx for obx in hl7.parse(content.decode()).segments("OBX")}
    for place, obx in obxs.items():
        group, _, member = place.partition(".")
        if str(obx[2]) != "NM" or member != "1":
            continue
        value = Decimal(str(obx[5]))
        lower = upper = None
        if str(obxs.get(f"{group}.2", ["", "", ""])[2]) == "NM":
            lower = value - Decimal(str(obxs[f"{group}.2"][5]))
            upper = value + Decimal(str(obxs[f"{group}.3"][5]))
        (site,) = [
            str(each[5]).split("^")[0]
            for at, each in obxs.items()
            if at.startswith(f"{group}.") and str(each[3]).startswith("363698007")
        ] or [""]
        code = str(obx[3]).split("^")
        yield code[0], code[2], value, lower, upper, str(obx[6]).split("^")[0], site


def test_every_number_code_unit_and_site_is_that_of_the_message() -> None:
    found = list(numbers_of_fhir(composed()))
    assert found == list(numbers_of_the_message())
    assert len(found) == len(ESTIMATES) + len(DISEASES) + 1


def test_every_number_is_that_of_the_structured_report() -> None:
    made = compose_objects(
        prediction(), record(), source_of(ecg_head()), TEMPLATES, DEFAULT_FORM,
        {ResultKind.REPORT},
    )  # fmt: skip
    (report,) = [each for each in made if each.kind is ResultKind.REPORT]
    measured = read_measurements(dcmread(io.BytesIO(report.content)))

    def number(text: str) -> Decimal | None:
        return Decimal(text) if text else None

    told = {
        (each.code, Decimal(each.value), number(each.lower), number(each.upper), each.unit)
        for each in measured
    }
    found = {(code, *rest[:3], unit) for code, _, *rest, unit, _ in numbers_of_fhir(composed())}
    assert found == told


def test_the_codes_of_the_frame_are_those_of_ps3_16() -> None:
    told = observations(built())
    lower, upper = told["24103"]["component"]
    for concept, found in (
        (dicom_codes.LN.HeartRate, told["Heart rate of the ECG"]["code"]),
        (dicom_codes.SCT.RangeOfLowerMeasurementUncertainty, lower["code"]),
        (dicom_codes.SCT.RangeOfUpperMeasurementUncertainty, upper["code"]),
        (dicom_codes.SCT.Estimated, told["24103"]["method"]),
    ):
        coding = found["coding"][0]
        assert coding["code"] == concept.value
        assert SYSTEMS[coding["system"]] == concept.scheme_designator


def test_the_bundles_own_id_stands_beside_a_standard_code() -> None:
    told = observations(built())
    standard, own = told["24103"]["code"]["coding"]
    assert (standard["system"], own["code"]) == ("http://loinc.org", "24103")
    assert own["system"].startswith("urn:oid:2.25.")
    (private,) = told["Probability of LVSD"]["code"]["coding"]
    assert private["system"] == own["system"]


def test_nothing_is_final_and_everything_says_what_it_is() -> None:
    content = built()
    for each in (report_in(content), *observations(content).values()):
        assert each["status"] == "preliminary"
        tags = {tag["code"] for tag in each["meta"]["tag"]}
        assert "NOT-VERIFIED" in tags
        by_model = each.get("code", {}).get("text") != "Heart rate of the ECG"
        assert ({"SYNTHETIC", "SIMULATED-MODEL"} <= tags) is by_model
        labels = [label["code"] for label in each["meta"].get("security", ())]
        assert labels == (["AIAST"] if by_model else [])
    for name, each in observations(content).items():
        notes = [note["text"] for note in each["note"]]
        expected = [READ_FROM_ECG] if name == "Heart rate of the ECG" else [SYNTHETIC, SIMULATED]
        assert notes == expected
    lines = report_in(content)["conclusion"].splitlines()
    assert lines[:2] == [SYNTHETIC, SIMULATED]
    assert "24103: 57.0 % (90 % prediction interval 49.9 to 64.2 %)" in lines
    assert NOTE.message in lines
    assert lines[-1] == "Model: phantom 1.2.3 (0123456789ab), onnxruntime 1.32.0 CPU, fp32"


def test_a_model_of_real_data_is_not_called_simulated() -> None:
    content = built(replace(prediction(), model=model(simulated=False)))
    assert b"SIMULATED" not in content
    assert SYNTHETIC.encode() in content


def test_the_model_is_named_where_it_estimated() -> None:
    told = observations(built())
    device = told["24103"]["device"]
    assert device["identifier"]["value"] == "phantom 1.2.3"
    assert device["display"].endswith("(0123456789ab), onnxruntime 1.32.0 CPU, fp32")
    assert not {"device", "method"} & told["Heart rate of the ECG"].keys()


def test_a_range_stands_beside_the_value_it_is_for_and_no_other() -> None:
    told = observations(built(ranges=RANGES))
    ranges = {
        name: each["referenceRange"] for name, each in told.items() if "referenceRange" in each
    }
    assert {
        name: (each["low"]["value"], each["high"]["value"], each["low"]["code"])
        for name, (each,) in ranges.items()
    } == {
        "24100": (Decimal("150.3"), 200, "mL"),
        "24101": (Decimal("64.5"), 90, "mL"),
        "24103": (48, Decimal("56.9"), "%"),
    }
    (one,) = ranges["24103"]
    assert one["text"] == RANGES.statement
    assert one["appliesTo"][0]["coding"][0]["code"] == "248152002"  # the patient is a woman


def test_the_ranges_are_those_of_the_patients_sex() -> None:
    found = {}
    for sex in ("F", "M", "O"):
        head = ecg_head()
        head.PatientSex = sex
        content = compose_transaction(
            prediction(), record(), source_of(head), DEFAULT_FORM,
            destination="EHR", site=SITE, templates=TEMPLATES,
        ).content  # fmt: skip
        (volume,) = [
            each
            for each in resources(content, "Observation")
            if each["code"]["coding"][-1]["code"] == "24100"
        ]
        found[sex] = [
            (each["low"]["value"], each["high"]["value"])
            for each in volume.get("referenceRange", ())
        ]
    assert found == {"F": [(80, 175)], "M": [(93, 232)], "O": []}  # as summary.toml


def test_the_patient_is_known_by_who_gave_the_number() -> None:
    subject = report_in(built())["subject"]
    assert subject["type"] == "Patient"
    assert "reference" not in subject
    assert subject["identifier"] == {
        "type": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]
        },
        "system": "urn:oid:1.2.40.0.13",
        "value": "P-1",
        "assigner": {"display": "HOSPITAL"},
    }


@pytest.mark.parametrize(
    ("universal_id", "id_type", "system"),
    [
        ("1.2.40.0.13", "ISO", "urn:oid:1.2.40.0.13"),
        ("not an oid", "ISO", "http://site.example/mrn"),
        ("6f1c1bd6-7b49-5d39-9a3d-0c1e7a4f2b11", "UUID",
         "urn:uuid:6f1c1bd6-7b49-5d39-9a3d-0c1e7a4f2b11"),
        ("http://his.example/mrn", "URI", "http://his.example/mrn"),
        ("his.example", "DNS", "http://site.example/mrn"),
        ("http://his example", "URI", "http://site.example/mrn"),
        ("", "", "http://site.example/mrn"),
    ],
)  # fmt: skip
def test_a_site_says_what_its_numbers_are_of_where_the_ecg_does_not(
    universal_id: str, id_type: str, system: str
) -> None:
    subject = study()
    patient = replace(
        subject.patient, issuer_universal_id=universal_id, issuer_universal_id_type=id_type
    )
    content = built(
        subject=replace(subject, patient=patient),
        site=replace(SITE, patient_system="http://site.example/mrn"),
    )
    assert report_in(content)["subject"]["identifier"]["system"] == system


@pytest.mark.parametrize(
    ("patient_id", "asked"),
    [
        ("P-1", "Patient?identifier=http%3A%2F%2Fsite.example%2Fmrn|P-1"),
        ("1|2,3&x=ü", "Patient?identifier=http%3A%2F%2Fsite.example%2Fmrn|"
         "1%5C%7C2%5C%2C3%26x%3D%C3%BC"),
    ],
)  # fmt: skip
def test_a_site_may_have_the_patient_found_by_the_server(patient_id: str, asked: str) -> None:
    subject = study()
    patient = replace(subject.patient, patient_id=patient_id, issuer_universal_id="")
    content = built(
        subject=replace(subject, patient=patient),
        site=replace(SITE, patient_system="http://site.example/mrn", finds_patient=True),
    )
    for each in (report_in(content), *observations(content).values()):
        assert each["subject"]["reference"] == asked
        assert each["subject"]["identifier"]["value"] == patient_id
    assert R4Bundle(json.loads(content)).as_json() == json.loads(content)


def test_the_order_is_referred_to_by_its_numbers() -> None:
    order = Order(
        placer_order_number="PL 9",
        placer_issuer=("HIS", "1.2.3.4", "ISO"),
        filler_order_number="FI 9",
        accession_number="ACC9",
    )
    content = built(order=order, site=replace(SITE, order_system="http://site.example/orders"))
    for each in (report_in(content), *observations(content).values()):
        (based_on,) = each["basedOn"]
        assert (based_on["type"], based_on["identifier"]["value"]) == ("ServiceRequest", "PL 9")
        assert based_on["identifier"]["system"] == "urn:oid:1.2.3.4"
        assert based_on["identifier"]["assigner"] == {"display": "HIS"}
    numbers = {
        each["type"]["coding"][0]["code"]: (each["system"], each["value"])
        for each in report_in(content)["identifier"]
        if "type" in each
    }
    assert numbers == {
        "FILL": ("http://site.example/orders", "FI 9"),
        "ACSN": ("http://site.example/orders", "ACC9"),
    }


def test_without_an_order_none_is_referred_to() -> None:
    content = built(order=Order(placer_order_number="\x01 "))
    assert not any(
        "basedOn" in each for each in (report_in(content), *observations(content).values())
    )


@pytest.mark.parametrize(
    ("performed_at", "written"),
    [
        (datetime(2024, 2, 29, 23, 59, 58), "2024-02-29T23:59:58+01:00"),
        (datetime(2024, 7, 1, 12, 0), "2024-07-01T12:00:00+02:00"),
        (datetime(2024, 2, 29, 23, 59, 58, tzinfo=UTC), "2024-02-29T23:59:58+00:00"),
        (
            datetime(2024, 2, 29, 1, 2, 3, 500_000, tzinfo=NEWFOUNDLAND),
            "2024-02-29T01:02:03.500000-03:30",
        ),
        (datetime(1890, 1, 1, 12, 0), "1890-01-01T10:54:39+00:00"),  # Vienna was 1:05:21 ahead
    ],
)
def test_the_time_is_the_ecgs_in_the_sites_zone_where_it_has_none(
    performed_at: datetime, written: str
) -> None:
    content = built(subject=replace(study(), performed_at=performed_at))
    told = {each["effectiveDateTime"] for each in observations(content).values()}
    assert told in ({written}, {written.replace("+00:00", "Z")})
    assert report_in(content)["effectiveDateTime"] in told
    assert "issued" not in report_in(content)
    assert "timestamp" not in json.loads(content)


@pytest.mark.parametrize("form", [
    DEFAULT_FORM,
    ResultForm(study=StudyForm.NEW),
    ResultForm(cine=CineForm.SINGLE_FRAMES, report=ReportForm.ENHANCED),
    ResultForm(cine=CineForm.NONE),
    ResultForm(report=ReportForm.NONE),
], ids=str)  # fmt: skip
def test_every_object_that_is_named_is_the_archives(form: ResultForm) -> None:
    source = source_of(ecg_head())
    made = compose_objects(
        prediction(), record(), source, TEMPLATES, form,
        {ResultKind.CINE, ResultKind.REPORT, ResultKind.SUMMARY},
    )  # fmt: skip
    datasets = [(each.kind, dcmread(io.BytesIO(each.content))) for each in made]
    told = report_in(composed(form))
    (imaged,) = told["imagingStudy"]
    assert imaged["identifier"] == {
        "system": "urn:dicom:uid", "value": f"urn:oid:{datasets[0][1].StudyInstanceUID}"
    }  # fmt: skip
    cines = [each.SOPInstanceUID for kind, each in datasets if kind is ResultKind.CINE]
    assert [each["link"]["identifier"]["value"] for each in told.get("media", ())] == [
        f"urn:oid:{uid}" for uid in cines[:1]
    ]
    reports = [each.SOPInstanceUID for kind, each in datasets if kind is ResultKind.REPORT]
    assert [
        each["value"] for each in told["identifier"] if each.get("system") == "urn:dicom:uid"
    ] == [f"urn:oid:{uid}" for uid in reports]
    for each in observations(composed(form)).values():
        (ecg,) = each["derivedFrom"]
        assert ecg["identifier"]["value"] == f"urn:oid:{source.study.study_instance_uid}"


def test_the_document_is_the_one_that_an_archive_gets() -> None:
    made = compose_objects(
        prediction(), record(), source_of(ecg_head()), TEMPLATES, DEFAULT_FORM, {ResultKind.PDF}
    )
    (pdf,) = [each.content for each in made if each.kind is ResultKind.PDF]
    (form,) = report_in(composed(site=replace(SITE, pdf=True)))["presentedForm"]
    assert form["contentType"] == "application/pdf"
    assert b64decode(form["data"], validate=True) == document(dcmread(io.BytesIO(pdf)))
    assert form["title"] == SYNTHETIC
    assert "presentedForm" not in report_in(composed())


def test_every_resource_is_put_under_an_identifier_of_its_own() -> None:
    entries = json.loads(built())["entry"]
    names = [each["fullUrl"] for each in entries]
    assert len(set(names)) == len(names)
    for each in entries:
        kind = each["resource"]["resourceType"]
        assert each["resource"]["identifier"][0] == {
            "system": "urn:ietf:rfc:3986", "value": each["fullUrl"]
        }  # fmt: skip
        assert each["request"] == {
            "method": "PUT",
            "url": f"{kind}?identifier=urn:ietf:rfc:3986|{each['fullUrl']}",
        }
    assert names[0] == f"urn:uuid:{NUMBER}"
    results = [each["reference"] for each in report_in(built())["result"]]
    assert results == names[1:]


def test_a_correction_replaces_what_is_there_and_marks_what_it_has_not() -> None:
    earlier = built(pdf=b"%PDF")
    later = replace(prediction(), estimates=ESTIMATES[:2], diseases=())
    content = built(later, replaces=earlier)
    names = {each["fullUrl"] for each in json.loads(content)["entry"]}
    assert names == {each["fullUrl"] for each in json.loads(earlier)["entry"]}
    told = {name: each["status"] for name, each in observations(content).items()}
    kept = {each.name for each in ESTIMATES[:2]} | {"Heart rate of the ECG"}
    assert {name for name, status in told.items() if status == "corrected"} == kept
    assert {status for name, status in told.items() if name not in kept} == {"entered-in-error"}
    report = report_in(content)
    assert report["status"] == "corrected"
    assert report["conclusion"].splitlines()[:2] == [SYNTHETIC, CORRECTED]
    assert len(report["result"]) == len(kept)
    assert [note["text"] for note in observations(content)["24100"]["note"]][1] == CORRECTED
    assert R4Bundle(json.loads(content)).as_json() == json.loads(content)
    # The next correction finds them marked, and leaves them so.
    again = observations(built(later, replaces=content))
    assert {name: each["status"] for name, each in again.items()} == told


def test_a_withdrawal_marks_all_of_it_and_deletes_what_people_read() -> None:
    sent = built(ranges=RANGES, pdf=b"%PDF")
    content = withdraw_report(sent, identifier=NUMBER)
    assert (is_withdrawal(sent), is_withdrawal(content)) == (False, True)
    assert report_number(sent) == report_number(content) == f"urn:uuid:{NUMBER}"
    before, after = json.loads(sent), json.loads(content)
    assert [each["request"] for each in before["entry"]] == [
        each["request"] for each in after["entry"]
    ]
    report = report_in(content)
    assert (report["status"], report["conclusion"]) == ("entered-in-error", WITHDRAWN)
    assert "presentedForm" not in report
    numbers = observations(content)
    assert {each["status"] for each in numbers.values()} == {"entered-in-error"}
    assert {note["text"] for each in numbers.values() for note in each["note"]} == {WITHDRAWN}
    assert {name: each["valueQuantity"] for name, each in numbers.items()} == {
        name: each["valueQuantity"] for name, each in observations(sent).items()
    }
    assert R4Bundle(after).as_json() == after
    assert withdraw_report(sent, identifier=NUMBER) == content


def test_the_report_is_known_by_the_ecg_and_the_destination_alone() -> None:
    head = ecg_head()
    one = compose_transaction(
        prediction(), record(), source_of(head), DEFAULT_FORM,
        destination="EHR", site=SITE, templates=TEMPLATES,
    )  # fmt: skip
    other = compose_transaction(
        replace(prediction(), model=replace(model(), digest="f" * 64)), record(),
        replace(source_of(head), order=Order(filler_order_number="F-2"), revision=2),
        ResultForm(cine=CineForm.NONE), destination="EHR", site=SITE, templates=TEMPLATES,
    )  # fmt: skip
    elsewhere = compose_transaction(
        prediction(), record(), source_of(head), DEFAULT_FORM,
        destination="TWIN", site=SITE, templates=TEMPLATES,
    )  # fmt: skip
    assert report_number(one.content) == report_number(other.content)
    assert report_number(one.content) != report_number(elsewhere.content)
    assert len({each.identifier for each in (one, other, elsewhere)}) == 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    texts=st.lists(st.text(max_size=12), min_size=6, max_size=6),
    id_type=st.sampled_from(["ISO", "UUID", "URI", "DNS", ""]),
    finds_patient=st.booleans(),
)
def test_whatever_the_numbers_are_made_of_both_readers_take_them(
    texts: list[str], id_type: str, finds_patient: bool
) -> None:
    patient_id, issuer, universal_id, placer, filler, accession = texts
    subject = study()
    patient = replace(
        subject.patient,
        patient_id=f"P{patient_id}",
        issuer_of_patient_id=issuer,
        issuer_universal_id=universal_id,
        issuer_universal_id_type=id_type,
    )
    order = Order(
        placer_order_number=placer,
        placer_issuer=(issuer, universal_id, id_type),
        filler_order_number=filler,
        accession_number=accession,
    )
    little = replace(prediction(), estimates=ESTIMATES[:1], diseases=())
    site = replace(SITE, patient_system="http://site.example/mrn", finds_patient=finds_patient)
    content = built(little, replace(subject, patient=patient), order, site)
    told = json.loads(content)
    assert Bundle.model_validate(told).model_dump_json().encode() == content
    assert R4Bundle(told).as_json() == told
    asked = report_in(content)["subject"].get("reference", "?identifier=|")
    assert re.fullmatch(r"[!-~]+", asked)
    assert asked.count("?") == asked.count("|") == 1


def test_an_ecg_without_a_patient_id_is_told_to_nobody() -> None:
    subject = study()
    for patient_id in ("", " \x01"):
        patient = replace(subject.patient, patient_id=patient_id)
        with pytest.raises(UnsupportedInstance, match="no Patient ID"):
            built(subject=replace(subject, patient=patient))


def test_a_field_without_a_code_or_in_another_unit_is_refused() -> None:
    strange = replace(ESTIMATES[0], field_id="99999")
    with pytest.raises(BundleError, match="99999 has no code"):
        built(replace(prediction(), estimates=(strange,)))
    with pytest.raises(BundleError, match="is in g but"):
        built(replace(prediction(), estimates=(replace(ESTIMATES[0], unit="g"),)))


def test_what_breaks_the_standard_never_leaves_and_its_values_are_not_told() -> None:
    odd = replace(DISEASES[0], field_id="a  b", name="SECRET")
    codes = {**CODES, "a  b": CODES[DISEASES[0].field_id]}
    with pytest.raises(InvalidResult) as refused:
        build_report(
            replace(prediction(), diseases=(odd,)), study(), None,
            replace(SITE, category="two  spaces"), identifier=TRANSACTION, report_number=NUMBER,
            codes=codes, derivation=ESTIMATED, references=REFERENCES, ranges=NO_RANGES,
        )  # fmt: skip
    assert "two  spaces" not in refused.value.message
    assert "code" in refused.value.message
