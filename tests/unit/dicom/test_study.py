from __future__ import annotations

import struct
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.dicom.part10 import read_part10
from node.dicom.study import read_study
from node.dicom.waveform import TWELVE_LEAD_ECG
from node.domain.errors import MalformedInstance
from node.domain.identifiers import is_valid_uid
from node.domain.study import Study
from tests.unit.dicom.ecg_phantom import instance, part10, twelve_leads


def study(**attributes: object) -> Study:
    return read_study(read_part10(part10(instance(twelve_leads(), **attributes))))


def item(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_identity_is_copied() -> None:
    read = study(
        PatientID=" P 1 ",
        IssuerOfPatientID="HOSPITAL",
        IssuerOfPatientIDQualifiersSequence=Sequence(
            [item(UniversalEntityID="1.2.3", UniversalEntityIDType="ISO")]
        ),
        PatientName="Test^Name^^Dr",
        PatientBirthDate="19840229",
        PatientSex="F",
        AccessionNumber="A1",
        StudyID="S1",
        ReferringPhysicianName="Refer^Ring",
    )
    patient = read.patient
    assert (patient.patient_id, patient.issuer_of_patient_id) == ("P 1", "HOSPITAL")
    assert (patient.issuer_universal_id, patient.issuer_universal_id_type) == ("1.2.3", "ISO")
    assert (patient.name, patient.birth_date) == ("Test^Name^^Dr", date(1984, 2, 29))
    assert (patient.sex, read.accession_number, read.study_id) == ("F", "A1", "S1")
    assert read.referring_physician == "Refer^Ring"
    assert (read.sop_class_uid, read.sop_instance_uid) == (TWELVE_LEAD_ECG, "2.25.11")
    assert (read.study_instance_uid, read.series_instance_uid) == ("2.25.12", "2.25.13")


def test_nothing_but_uid_and_time_is_needed() -> None:
    read = study(PatientSex="X", PatientBirthDate="unknown")
    assert (read.patient.name, read.patient.sex, read.patient.birth_date) == ("", "", None)


def test_the_patient_never_prints() -> None:
    shown = repr(study(PatientID="SECRET", PatientName="Secret^Name", AccessionNumber="SECRET"))
    assert "secret" not in shown.lower()


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, datetime(2024, 2, 29, 10, 11, 12)),
        ({"AcquisitionDateTime": "20240301101112.25"}, datetime(2024, 3, 1, 10, 11, 12, 250_000)),
        ({"AcquisitionDateTime": "20240301"}, datetime(2024, 3, 1)),
        ({"AcquisitionDateTime": "2024030110"}, datetime(2024, 3, 1, 10)),
        (
            {"AcquisitionDateTime": "202403011011", "TimezoneOffsetFromUTC": "+0100"},
            datetime(2024, 3, 1, 10, 11, tzinfo=timezone(timedelta(hours=1))),
        ),
        (
            {"AcquisitionDateTime": "20240301101112-0330", "TimezoneOffsetFromUTC": "+0100"},
            datetime(2024, 3, 1, 10, 11, 12, tzinfo=timezone(timedelta(hours=-3.5))),
        ),
        (
            {"AcquisitionDateTime": "", "AcquisitionDate": "20240302", "AcquisitionTime": "235960"},
            datetime(2024, 3, 2, 23, 59, 59),
        ),
        (
            {"AcquisitionDateTime": "2024", "ContentDate": "20240303", "ContentTime": "1011"},
            datetime(2024, 3, 3, 10, 11),
        ),
        (
            {"AcquisitionDateTime": "20241399", "StudyDate": "2024.03.04", "StudyTime": "10:11:12"},
            datetime(2024, 3, 4, 10, 11, 12),
        ),
        (
            {"AcquisitionDateTime": "", "StudyDate": "20240305", "StudyTime": ""},
            datetime(2024, 3, 5),
        ),
        (
            {"AcquisitionDateTime": "20240301", "TimezoneOffsetFromUTC": "+9900"},
            datetime(2024, 3, 1),
        ),
    ],
)
def test_the_time_is_that_of_acquisition_then_content_then_study(
    attributes: dict[str, str], expected: datetime
) -> None:
    performed_at = study(**attributes).performed_at
    assert (performed_at, performed_at.tzinfo) == (expected, expected.tzinfo)


def test_an_instance_without_any_date_is_malformed() -> None:
    with pytest.raises(MalformedInstance, match="no date"):
        study(AcquisitionDateTime="")


def test_order_numbers_are_found_at_the_top() -> None:
    read = study(
        PlacerOrderNumberImagingServiceRequest="PL", FillerOrderNumberImagingServiceRequest="FI"
    )
    assert (read.placer_order_number, read.filler_order_number) == ("PL", "FI")


@pytest.mark.parametrize("place", ["RequestAttributesSequence", "ReferencedRequestSequence"])
def test_order_numbers_are_found_inside_the_request(place: str) -> None:
    request = item(
        AccessionNumber="A2",
        PlacerOrderNumberImagingServiceRequest="PL",
        FillerOrderNumberImagingServiceRequest="FI",
    )
    read = study(AccessionNumber="", **{place: Sequence([item(), request])})
    assert (read.placer_order_number, read.filler_order_number) == ("PL", "FI")
    assert read.accession_number == "A2"


def test_uids_of_digits_and_dots_are_kept_even_where_the_standard_forbids_them() -> None:
    assert study(StudyInstanceUID="1.2..3.").study_instance_uid == "1.2..3."


@pytest.mark.parametrize("stated", ["", "1.2.A", "12345678901234567890." * 4])
def test_an_unusable_study_uid_is_replaced_by_one_that_follows_from_the_instance(
    stated: str,
) -> None:
    first, again = (study(StudyInstanceUID=stated).study_instance_uid for _ in range(2))
    assert first == again
    assert is_valid_uid(first)
    assert first != study(StudyInstanceUID=stated, SOPInstanceUID="2.25.9").study_instance_uid


@pytest.mark.parametrize("stated", ["..", "...", "", "ABC"])
def test_an_instance_without_a_usable_uid_is_malformed(stated: str) -> None:
    dataset = instance(twelve_leads())
    dataset.SOPInstanceUID = stated
    with pytest.raises(MalformedInstance, match="SOP Instance UID"):
        read_study(dataset)


@pytest.mark.parametrize(
    ("file", "name"),
    [  # PS3.5 annexes H, I, J and K give these names
        ("chrFren.dcm", "Buc^Jérôme"),
        ("chrGerm.dcm", "Äneas^Rüdiger"),
        ("chrGreek.dcm", "Διονυσιος"),
        ("chrRuss.dcm", "Люкceмбypг"),
        ("chrArab.dcm", "قباني^لنزار"),
        ("chrHbrw.dcm", "שרון^דבורה"),
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32.dcm", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1.dcm", "Wang^XiaoDong=王^小東"),
        ("chrX2.dcm", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_are_decoded_by_the_objects_character_set(shared: Path, file: str, name: str) -> None:
    dataset = read_part10((shared / "data" / "malformed" / "charset" / file).read_bytes())
    dataset.StudyDate = "20240101"
    assert read_study(dataset).patient.name == name


@pytest.mark.parametrize(
    ("stated", "kept", "leading"),
    [
        ("=山田^太郎=やまだ^たろう", "=山田^太郎=やまだ^たろう", "山田^太郎"),
        ("Yamada^Tarou==やまだ^たろう", "Yamada^Tarou==やまだ^たろう", "Yamada^Tarou"),
        ("^^=山田^太郎", "=山田^太郎", "山田^太郎"),
        ("Yamada^Tarou=^^=", "Yamada^Tarou", "Yamada^Tarou"),
        ("==", "", ""),
    ],
)
def test_groups_that_say_nothing_keep_their_place_alone(
    stated: str, kept: str, leading: str
) -> None:
    read = study(SpecificCharacterSet="ISO_IR 192", PatientName=stated)
    assert (read.patient.name, read.patient.leading_name) == (kept, leading)


@pytest.mark.parametrize("levels", [1, 1500])
def test_a_text_that_is_a_sequence_is_malformed_and_nothing_in_it_is_told(levels: int) -> None:
    """As text it would be all that is in it; nested deep, that took longer than anybody waits."""
    elements = b"\x08\x00\x50\x00SH\x06\x00SECRET"
    for _ in range(levels):
        in_item = struct.pack("<HHI", 0xFFFE, 0xE000, len(elements)) + elements
        head = struct.pack("<HH2sHI", 0x0010, 0x0020, b"SQ", 0, len(in_item))
        elements = head + in_item
    content = part10(instance(twelve_leads()))
    at = content.index(struct.pack("<HH", 0x0020, 0x000D))  # Study Instance UID
    begun_s = time.monotonic()
    with pytest.raises(MalformedInstance, match=r"PatientID \(0010,0020\)") as malformed:
        read_study(read_part10(content[:at] + elements + content[at:]))
    assert time.monotonic() - begun_s < 2
    assert "SECRET" not in malformed.value.message
