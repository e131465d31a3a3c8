"""Three readers of HL7 find in a message what the structured report and the ECG say.

hl7apy and hl7types know the grammar of each version, python-hl7 knows none.
"""

from __future__ import annotations

import io
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import hl7
import hl7types
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.dicom.rendering import document
from node.dicom.report_reading import read_measurements
from node.domain.delivery import ResultKind
from node.domain.form import DEFAULT_FORM
from node.hl7.message import CODECS
from node.hl7.profile import Profile, shipped_profile, shipped_profiles
from node.workflow.compose import compose_message, compose_objects
from tests.result_forms import TEMPLATES, record, source_of
from tests.result_phantom import ecg_head, prediction

HEART_RATE = "8867-4"
"""LOINC."""
VERSIONS = ("2.3.1", "2.4", "2.5.1")
KINDS = frozenset({ResultKind.CINE, ResultKind.REPORT, ResultKind.PDF})

Segment = Callable[[int, int], str]
"""Field and component, from 1, of the first repetition -> what a reader finds there."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a reader finds."""

    patient: Segment
    order: Segment
    request: Segment
    observations: list[Segment]


def by_hl7apy(text: str) -> Found:
    message = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT)
    assert message.validate()
    result = message.oru_r01_patient_result
    asked = result.oru_r01_order_observation

    def segment(found: Any) -> Segment:
        def read(field: int, component: int) -> str:
            for each in found.children:
                if each.name == f"{found.name}_{field}":
                    parts = {part.name.rpartition("_")[2]: part for part in each.children}
                    # What a field of no parts is made of goes by its data type.
                    alone = component == 1 and len(parts) == 1 and not parts.keys() & {"1"}
                    part = next(iter(parts.values())) if alone else parts.get(str(component))
                    return "" if part is None else part.to_er7().partition("&")[0]
            return ""

        return read

    return Found(
        patient=segment(result.oru_r01_patient.pid),
        order=segment(asked.orc),
        request=segment(asked.obr),
        observations=[segment(group.obx) for group in asked.oru_r01_observation],
    )


def by_python_hl7(text: str) -> Found:
    message = hl7.parse(text)

    def segment(name: str, number: int = 1) -> Segment:
        def read(field: int, component: int) -> str:
            try:
                found: str = message.extract_field(name, number, field, 1, component)
            except IndexError:
                return ""
            return found or ""

        return read

    count = len(message.segments("OBX"))
    return Found(
        patient=segment("PID"),
        order=segment("ORC"),
        request=segment("OBR"),
        observations=[segment("OBX", number) for number in range(1, count + 1)],
    )


def by_hl7types(text: str) -> Found:
    with warnings.catch_warnings():
        # It says that it leaves out the site's own segments.
        warnings.filterwarnings("ignore", "Skipped unknown segment 'ZDS'", UserWarning)
        message: Any = hl7types.decode_er7(text)
    (result,) = message.PATIENT_RESULT
    (asked,) = result.ORDER_OBSERVATION

    def segment(found: Any) -> Segment:
        name = type(found).__name__.lower()

        def read(field: int, component: int) -> str:
            value = getattr(found, f"{name}_{field}")
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, str):  # OBX-5 stays as it stands there
                parts = value.split("^")
                return parts[component - 1] if component <= len(parts) else ""
            for part in (component, 1):
                if value is not None and not isinstance(value, str):
                    kind = type(value).__name__.lower()
                    value = getattr(value, f"{kind}_{part}")
            return value or ""

        return read

    return Found(
        patient=segment(result.PATIENT.PID),
        order=segment(asked.ORC),
        request=segment(asked.OBR),
        observations=[segment(group.OBX) for group in asked.OBSERVATION],
    )


READERS = (by_hl7apy, by_python_hl7, by_hl7types)


def ecg() -> Dataset:
    """One that states all that results repeat."""
    dataset = ecg_head(name="Müller^Jürgen^^Dr")
    dataset.PlacerOrderNumberImagingServiceRequest = "PL-9"
    dataset.FillerOrderNumberImagingServiceRequest = "FI-9"
    dataset.RequestedProcedureID = "RP-9"
    return dataset


@cache
def archived() -> dict[ResultKind, Dataset]:
    """What an archive gets of the same answer."""
    objects = compose_objects(
        prediction(), record(), source_of(ecg()), TEMPLATES, DEFAULT_FORM, KINDS
    )
    return {made.kind: dcmread(io.BytesIO(made.content)) for made in objects}


@cache
def sent(name: str, version: str) -> str:
    profile = Profile.model_validate({**shipped_profile(name).model_dump(), "version": version})
    content = compose_message(
        prediction(), record(), source_of(ecg()), DEFAULT_FORM,
        destination="RIS", profile=profile, templates=TEMPLATES,
    ).content  # fmt: skip
    return content.decode(CODECS[profile.charset])


Reader = Callable[[str], Found]


@cache
def read(reader: Reader, name: str, version: str) -> Found:
    return reader(sent(name, version))


OWN_VERSIONS = [(name, shipped_profile(name).version) for name in shipped_profiles()]
pytestmark = [
    pytest.mark.parametrize(
        ("name", "version"),
        sorted({*OWN_VERSIONS, *(("default", version) for version in VERSIONS)}),
    ),
    pytest.mark.parametrize("reader", READERS),
]


def numbers(found: Found) -> Iterator[tuple[str, ...]]:
    """Code, its meaning, value, bounds, unit and site of each number, as `reported` gives them."""
    by_place = {obx(4, 1): obx for obx in found.observations}
    for place, obx in by_place.items():
        group, _, member = place.partition(".")
        if obx(2, 1) != "NM" or member != "1":
            continue
        assert obx(6, 3) == "UCUM"
        value = Decimal(obx(5, 1))
        lower = upper = ""
        if f"{group}.2" in by_place and by_place[f"{group}.2"](2, 1) == "NM":
            below, above = (by_place[f"{group}.{each}"] for each in (2, 3))
            assert (below(3, 1), above(3, 1)) == ("371885007", "371886008")
            assert {below(6, 1), above(6, 1)} == {obx(6, 1)}
            lower = str(value - Decimal(below(5, 1)))
            upper = str(value + Decimal(above(5, 1)))
        sites = [
            each(5, 1)
            for sub_id, each in by_place.items()
            if sub_id.startswith(f"{group}.") and each(3, 1) == "363698007"
        ]
        yield obx(3, 1), obx(3, 2), obx(5, 1), lower, upper, obx(6, 1), "".join(sites)


def reported() -> Iterator[tuple[str, ...]]:
    for each in read_measurements(archived()[ResultKind.REPORT]):
        # The report has its group's site for the heart rate; a rate is of no site.
        site = "" if each.code == HEART_RATE else each.site
        yield each.code, each.name, each.value, each.lower, each.upper, each.unit, site


def test_every_number_is_that_of_the_report(name: str, version: str, reader: Reader) -> None:
    found = list(numbers(read(reader, name, version)))
    assert len(found) == len(set(found))
    assert set(found) == set(reported())


def test_every_code_is_one_of_the_report(name: str, version: str, reader: Reader) -> None:
    """Value, scheme and meaning of what is measured, where, and in which unit."""
    coded = {
        (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning)
        for item in every_item(archived()[ResultKind.REPORT])
        if "CodeValue" in item
    }
    told = set()
    for obx in read(reader, name, version).observations:
        places = {"NM": (3, 6), "CE": (3, 5)}.get(obx(2, 1), ())
        told |= {(obx(place, 1), obx(place, 3), obx(place, 2)) for place in places}
    assert told <= coded
    assert {scheme for _, scheme, _ in told} == {"LN", "SCT", "DCM", "UCUM", "99CARDIONODE"}


def every_item(dataset: Dataset) -> Iterator[Dataset]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from every_item(item)


def test_every_identifier_is_that_of_the_ecg(name: str, version: str, reader: Reader) -> None:
    found, head = read(reader, name, version), ecg()
    assert found.patient(3, 1) == head.PatientID
    assert found.patient(3, 4) == head.IssuerOfPatientID
    assert [found.patient(5, part) for part in (1, 2, 5)] == ["Müller", "Jürgen", "Dr"]
    assert found.patient(7, 1) == head.PatientBirthDate
    assert found.patient(8, 1) == head.PatientSex
    placer = head.PlacerOrderNumberImagingServiceRequest
    assert found.order(2, 1) == found.request(2, 1) == placer
    assert found.request(3, 1) == head.FillerOrderNumberImagingServiceRequest
    assert found.request(18, 1) == head.AccessionNumber
    holds_procedure = shipped_profile(name).placer_field_2 == "requested-procedure-id"
    assert found.request(19, 1) == (head.RequestedProcedureID if holds_procedure else "")
    moment = head.AcquisitionDateTime[:14]
    assert found.request(7, 1) == moment
    assert {obx(14, 1) for obx in found.observations} == {moment}


def test_every_object_that_is_named_is_the_archives(
    name: str, version: str, reader: Reader
) -> None:
    observations = read(reader, name, version).observations
    named = {obx(3, 1): obx(5, 1) for obx in observations if obx(2, 1) == "ST"}
    made = archived()
    assert named == {
        "113014": made[ResultKind.REPORT].StudyInstanceUID,
        "REPORT-UID": made[ResultKind.REPORT].SOPInstanceUID,
        "CINE-UID": made[ResultKind.CINE].SOPInstanceUID,
    }
    documents = [obx for obx in observations if obx(2, 1) == "ED"]
    assert len(documents) == (shipped_profile(name).pdf == "ed")
    for each in documents:
        assert b64decode(each(5, 5), validate=True) == document(made[ResultKind.PDF])
