"""Attributes by keyword or tag, down through sequences, as text that patterns are held to."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node.dicom.attribute_path import parse_attribute_path
from node.dicom.part10 import read_dataset, read_part10, split_part10
from node.domain.errors import ConfigurationError, MalformedInstance
from tests.ecg_instances import mortara


def sent(dataset: Dataset, *, implicit: bool = False) -> Dataset:
    """As it is read after it has been on the wire."""
    dataset.file_meta = FileMetaDataset()
    syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.9.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return read_part10(file.getvalue())


def item(tag: int, vr: str, value: Any) -> Dataset:
    made = Dataset()
    made.add_new(tag, vr, value)
    return made


def values(dataset: Dataset, path: str) -> tuple[str, ...]:
    return parse_attribute_path(path).values(dataset)


both_encodings = pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])

STANDARD = [  # a standard attribute of each VR that a pattern can describe
    ("RetrieveAETitle", "AE", ["ONE", "TWO"], ("ONE", "TWO")),
    ("PatientAge", "AS", "061Y", ("061Y",)),
    ("FrameIncrementPointer", "AT", [0x00181063, 0x00540010], ("(0018,1063)", "(0054,0010)")),
    ("Modality", "CS", "ECG", ("ECG",)),
    ("StudyDate", "DA", "20260102", ("20260102",)),
    ("PatientWeight", "DS", "71.50", ("71.50",)),
    ("AcquisitionDateTime", "DT", "20260102030405.5+0100", ("20260102030405.5+0100",)),
    ("RealWorldValueSlope", "FD", 0.1, ("0.1",)),
    ("RecommendedDisplayFrameRateInFloat", "FL", 0.1, ("0.1",)),
    ("InstanceNumber", "IS", "007", ("007",)),
    ("InstitutionalDepartmentName", "LO", "ED WEST ", ("ED WEST",)),
    ("AdditionalPatientHistory", "LT", "a\\b", ("a\\b",)),
    ("PatientName", "PN", "Yamada^Tarou=山田^太郎", ("Yamada^Tarou=山田^太郎",)),
    ("AccessionNumber", "SH", "A-1", ("A-1",)),
    ("ReferencePixelX0", "SL", -70000, ("-70000",)),
    ("TagAngleSecondAxis", "SS", -7, ("-7",)),
    ("InstitutionAddress", "ST", "Höfe 1", ("Höfe 1",)),
    ("SelectorSVValue", "SV", [-(2**40), 1], (str(-(2**40)), "1")),
    ("StudyTime", "TM", "030405", ("030405",)),
    ("LongCodeValue", "UC", "long", ("long",)),
    ("StudyInstanceUID", "UI", "1.2.3.4", ("1.2.3.4",)),
    ("SimpleFrameList", "UL", [1, 70000], ("1", "70000")),
    ("RetrieveURL", "UR", "http://192.0.2.1/x", ("http://192.0.2.1/x",)),
    ("Rows", "US", 512, ("512",)),
    ("LabelText", "UT", "any text", ("any text",)),
    ("SelectorUVValue", "UV", 2**40, (str(2**40),)),
]


@both_encodings
@pytest.mark.parametrize(
    ("keyword", "vr", "value", "expected"),
    STANDARD,
    ids=[each[1] for each in STANDARD],
)
def test_every_kind_of_value_is_text(
    implicit: bool, keyword: str, vr: str, value: Any, expected: tuple[str, ...]
) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    setattr(dataset, keyword, value)
    assert vr == dataset[keyword].VR
    assert values(sent(dataset, implicit=implicit), keyword) == expected


@both_encodings
def test_private_attributes_are_found_by_their_tag_in_the_character_set(implicit: bool) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.add_new(0x00090010, "LO", "MAKER")
    dataset.add_new(0x00091001, "LO", ["Nord", "Süd"])
    dataset.add_new(0x0009100A, "SQ", [item(0x00091002, "SH", "in it")])
    read = sent(dataset, implicit=implicit)
    assert values(read, "(0009,1001)") == ("Nord", "Süd")
    assert values(read, "(0009,100a).(0009,1002)") == ("in it",)
    assert values(read, "(0009,100A)") == ()
    assert values(read, "(0009,1003)") == ()


@both_encodings
def test_all_items_of_sequences_are_looked_at(implicit: bool) -> None:
    dataset = Dataset()
    steps = [item(0x00400009, "SH", name) for name in ("STEP1", "STEP2")]
    dataset.RequestAttributesSequence = steps
    read = sent(dataset, implicit=implicit)
    path = "RequestAttributesSequence.ScheduledProcedureStepID"
    assert values(read, path) == ("STEP1", "STEP2")
    assert values(read, "(0040,0275).(0040,0009)") == ("STEP1", "STEP2")
    assert values(read, "RequestAttributesSequence.AccessionNumber") == ()
    assert values(mortara(), "WaveformSequence.NumberOfWaveformChannels") == ("12", "12")


def test_what_is_absent_empty_or_padding_has_no_value() -> None:
    dataset = Dataset()
    dataset.PatientID, dataset.InstitutionName = "", "  "
    dataset.ReferencedStudySequence = []
    read = sent(dataset)
    for path in ("PatientID", "InstitutionName", "PatientName"):
        assert values(read, path) == ()
    assert values(read, "ReferencedStudySequence.ReferencedSOPInstanceUID") == ()


def test_what_cannot_be_decoded_is_said_without_its_value() -> None:
    three_bytes = b"\x28\x00\x10\x00US\x03\x00\x01\x02\x03"
    broken = read_dataset(three_bytes, str(ExplicitVRLittleEndian))
    with pytest.raises(MalformedInstance, match="Rows cannot be decoded"):
        values(broken, "Rows")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("InstitutionalDepartementName", "the nearest is InstitutionalDepartmentName"),
        ("modality", "the nearest is Modality"),
        ("RequestAttributesSequence.StepID", "there is no attribute 'StepID'"),
        ("Xyzzy_not_there_at_all_123", "keyword or \\(gggg,eeee\\)$"),
        ("", "there is no attribute ''"),
        ("(0008,06)", "there is no attribute"),
        ("RequestAttributesSequence", "is a sequence: name what is looked for in it"),
        ("Modality.PatientID", "Modality is no sequence"),
        ("WaveformSequence.WaveformData", "holds bytes that no pattern describes"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_what_to_do(path: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_attribute_path(path)


def test_a_head_holds_what_stands_before_its_last_tag() -> None:
    file = io.BytesIO()
    mortara().save_as(file)
    head = read_dataset(
        split_part10(file.getvalue())[2], str(ExplicitVRLittleEndian), last=0x00100020
    )
    assert values(head, "PatientID") == values(mortara(), "PatientID")
    assert max(head.keys()) == 0x00100020
