"""Results that are wrong, each in one thing: every one is held, and the reason names the thing."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import resources

import pytest
from pydicom import config, dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from node.dicom.composite import encode
from node.dicom.encoded import read_elements
from node.dicom.filing import BESIDE_ECG
from node.dicom.study import read_study
from node.dicom.validation import check_results
from node.domain.delivery import ResultKind, ResultObject
from node.domain.errors import InvalidResult, MalformedInstance
from node.domain.form import CineForm, ResultForm
from tests import iod_tables
from tests.result_forms import CINES, composed
from tests.result_phantom import ecg_head

CINE, REPORT = ResultKind.CINE, ResultKind.REPORT
Fault = Callable[[Dataset], None]


def judge(objects: tuple[ResultObject, ...], source: Dataset | None = None) -> None:
    ecg = ecg_head() if source is None else source
    check_results(objects, ecg, read_study(ecg), BESIDE_ECG)


def with_fault(kind: ResultKind, fault: Fault) -> tuple[ResultObject, ...]:
    """Sound results, but one of them changed and encoded again."""
    return tuple(
        replace(made, content=_changed(made.content, fault)) if made.kind is kind else made
        for made in composed()
    )


def _changed(content: bytes, fault: Fault) -> bytes:
    dataset = dcmread(io.BytesIO(content))
    fault(dataset)
    return encode(dataset)


def without(keyword: str) -> Fault:
    return lambda dataset: dataset.__delitem__(keyword)


def put(keyword: str, value: object) -> Fault:
    def fault(dataset: Dataset) -> None:
        vr = dataset[keyword].VR
        dataset[keyword] = DataElement(keyword, vr, value, validation_mode=config.IGNORE)

    return fault


def below(fault: Fault, *path: int) -> Fault:
    """The fault in a content item, by numbers from 0."""

    def deeper(dataset: Dataset) -> None:
        for index in path:
            dataset = dataset.ContentSequence[index]
        fault(dataset)

    return deeper


def group_of_numbers(fault: Fault) -> Fault:
    """In the first number of the first measurement group."""

    def in_number(report: Dataset) -> None:
        (measurements,) = [
            item
            for item in report.ContentSequence
            if item.ConceptNameCodeSequence[0].CodeValue == "126010"
        ]
        group = measurements.ContentSequence[0]
        fault(next(item for item in group.ContentSequence if item.ValueType == "NUM"))

    return in_number


def refer_elsewhere(report: Dataset) -> None:
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    evidence.ReferencedSeriesSequence[1].ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.9"


def say_nothing(item: Dataset) -> None:
    item.ConceptNameCodeSequence[0].CodeMeaning = ""


def unit_less(number: Dataset) -> None:
    del number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def longer(image: Dataset) -> None:
    image.PixelData += b"\0\0"


FAULTS = [
    (CINE, without("PatientName"), "cine: PatientName is missing (type 2)"),
    (CINE, without("ConversionType"), "cine: ConversionType is missing (type 1)"),
    (CINE, put("ConversionType", ""), "cine: ConversionType is empty (type 1)"),
    (CINE, without("NumberOfFrames"), "NumberOfFrames is missing (type 1)"),
    (CINE, without("FrameTime"), "FrameIncrementPointer names an attribute that is missing"),
    (CINE, longer, "PixelData is not as long"),
    (CINE, without("SourceInstanceSequence"), "SourceInstanceSequence does not name the ECG"),
    (CINE, put("ImageType", ["ORIGINAL", "PRIMARY"]), "ImageType is not DERIVED"),
    (CINE, without("SyntheticData"), "SyntheticData is not YES"),
    (CINE, put("SeriesDescription", "cine"), "SeriesDescription does not say SYNTHETIC"),
    (CINE, put("SeriesDescription", "SYNTHETIC " * 7), "SeriesDescription is not a valid LO"),
    (CINE, put("ContentDate", "2024-02-29"), "ContentDate is not a valid DA"),
    (CINE, put("StudyInstanceUID", "1.2.3"), "StudyInstanceUID is not that of the study"),
    (CINE, put("PatientID", "P-2"), "PatientID is not the ECG's"),
    (CINE, put("PatientName", "Roe^Jane"), "PatientName is not the ECG's"),
    (REPORT, put("SOPInstanceUID", "1.2.3"), "report: SOPInstanceUID is not that of its delivery"),
    (REPORT, put("SOPClassUID", "1.2.3"), "report: SOPClassUID is not that of its delivery"),
    (REPORT, without("CompletionFlag"), "CompletionFlag is missing (type 1)"),
    (REPORT, without("CodingSchemeIdentificationSequence"), "private scheme that is not declared"),
    (REPORT, refer_elsewhere, "refers to an instance that is not listed as evidence"),
    (REPORT, refer_elsewhere, "neither the ECG nor sent to this destination"),
    (REPORT, below(without("ValueType"), 0), "ContentSequence[1].ValueType is none"),
    (REPORT, below(without("ConceptCodeSequence"), 0), "ConceptCodeSequence is missing or empty"),
    (REPORT, below(without("RelationshipType"), 0), "[1].RelationshipType is missing"),
    (REPORT, below(say_nothing, 0), "ConceptNameCodeSequence[1] is not a whole code"),
    (REPORT, group_of_numbers(unit_less), "lacks a number or its unit"),
    (REPORT, group_of_numbers(without("ConceptNameCodeSequence")), "NameCodeSequence is missing"),
]


@pytest.mark.parametrize(("kind", "fault", "reason"), FAULTS, ids=[reason for *_, reason in FAULTS])
def test_a_result_with_a_fault_is_held_and_the_reason_names_it(
    kind: ResultKind, fault: Fault, reason: str
) -> None:
    with pytest.raises(InvalidResult) as raised:
        judge(with_fault(kind, fault))
    assert reason in raised.value.message
    for value in ("Doe", "Roe", "P-1", "P-2", "19600102"):
        assert value not in raised.value.message


def test_results_that_nothing_was_done_to_pass() -> None:
    judge(with_fault(CINE, lambda dataset: None))


@pytest.mark.parametrize("cine", CINES)
def test_a_report_may_not_refer_to_a_cine_that_is_not_sent(cine: CineForm) -> None:
    *_, report = composed(ResultForm(cine=cine))
    with pytest.raises(InvalidResult, match="neither the ECG nor sent to this destination"):
        judge((report,))


def test_a_cine_that_the_report_leaves_out_is_found() -> None:
    (cine, _), (report,) = composed(), composed(with_cine=False)
    with pytest.raises(InvalidResult, match=r"a cine is sent .* that it does not refer to"):
        judge((cine, report))


def test_what_the_ecg_says_is_repeated_however_it_says_it() -> None:
    source = ecg_head()
    for keyword, vr, value in (
        ("PatientID", "LO", "P-1 " + "x" * 80),
        ("AccessionNumber", "SH", "A-1-OF-MORE-THAN-16-CHARACTERS"),
        ("StudyInstanceUID", "UI", "1.2..3."),
        ("PatientBirthDate", "DA", "1960"),
    ):
        source[keyword] = DataElement(keyword, vr, value, validation_mode=config.IGNORE)
    judge(composed(source=source), source)


def test_many_faults_are_told_in_few_words() -> None:
    def ruin(dataset: Dataset) -> None:
        for keyword in ("Rows", "Columns", "BitsStored", "HighBit", "Modality", "Manufacturer"):
            del dataset[keyword]

    with pytest.raises(InvalidResult, match=r"and [2-9] more\. Report this"):
        judge(with_fault(CINE, ruin))


def test_an_sop_class_without_a_table_is_held() -> None:
    cine, report = composed()
    with pytest.raises(InvalidResult, match="there is no table of its SOP class"):
        judge((replace(cine, sop_class_uid="1.2.3"), report))


@pytest.mark.parametrize("name", iod_tables.FILES)
def test_the_tables_are_those_that_the_library_carries(name: str) -> None:
    kept = (resources.files("dicom_templates") / name).read_text(encoding="utf-8")
    assert kept == iod_tables.text(iod_tables.FILES[name]()), (
        "highdicom's tables of PS3.3 have changed: read what is new, then write the files with "
        "python -m tests.iod_tables"
    )


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (b"\x08\x00\x16\x00UI\x03\x001.2", "odd"),
        (b"\x08\x00\x16\x00UI\x40\x001.2\0", "more than there is"),
        (b"\x08\x00\x18\x00UI\x02\x001\0\x08\x00\x16\x00UI\x02\x001\0", "out of order"),
        (b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff", "undefined"),
        (b"\x08\x00\x15\x11SQ\0\0\x08\0\0\0\x08\x00\x16\x00\0\0\0\0", "whole items"),
        (b"\x08\x00\x16", "cut short"),
    ],
)
def test_an_encoding_that_we_do_not_write_is_found(encoded: bytes, reason: str) -> None:
    with pytest.raises(MalformedInstance, match=reason):
        read_elements(encoded)


def test_judging_the_results_of_one_ecg_takes_little_of_their_making() -> None:
    """Aim: 20 ms; here with room for a busy machine. Most of it is the report's 6,000 elements."""
    objects = composed()
    judge(objects)  # the tables are read once
    quickest = min(_seconds(lambda: judge(objects)) for _ in range(5))
    assert quickest < 0.1


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
