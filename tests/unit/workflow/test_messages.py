"""Messages to a RIS as the node composes them: what the ECG and the report say, read by others."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path

import hl7
import pytest
from pydicom import dcmread

from node.dicom.part10 import read_part10
from node.dicom.rendering import document
from node.domain.delivery import ResultKind
from node.domain.errors import ConfigurationError
from node.domain.form import DEFAULT_FORM
from node.hl7.profile import Profile
from node.workflow.compose import compose_message, compose_objects
from tests.result_forms import TEMPLATES, record, source_of
from tests.result_phantom import ecg_head, prediction
from tests.unit.dicom.ecg_phantom import instance, part10, twelve_leads


def ecg_of(shared: Path, sample: str) -> bytes:
    """An ECG of the patient of a sample, named in the sample's character set."""
    named = read_part10((shared / "data" / "malformed" / "charset" / sample).read_bytes())
    return part10(
        instance(
            twelve_leads(),
            SpecificCharacterSet=named.SpecificCharacterSet,
            PatientName=named.PatientName,
            PatientID="P-1",
        )
    )


def message_of(ecg: bytes, profile: Profile) -> bytes:
    return compose_message(
        prediction(), record(), source_of(read_part10(ecg)), DEFAULT_FORM,
        destination="RIS", profile=profile, templates=TEMPLATES,
    ).content  # fmt: skip


def names_of(message: str) -> list[list[str]]:
    """PID-5 as python-hl7 reads it: each repetition's family and given name, and what it is."""
    names = [str(name).split("^") for name in hl7.parse(message).segment("PID")[5]]
    return [[name[place] if place < len(name) else "" for place in (0, 1, 7)] for name in names]


@pytest.mark.parametrize(
    ("sample", "charset", "codec", "names"),
    [  # PS3.5 annexes H, I and J give these names
        ("chrGerm.dcm", "8859/1", "iso8859-1", [["Äneas", "Rüdiger", ""]]),
        ("chrFren.dcm", "8859/15", "iso8859-15", [["Buc", "Jérôme", ""]]),
        ("chrRuss.dcm", "8859/5", "iso8859-5", [["Люкceмбypг", "", ""]]),
        ("chrArab.dcm", "8859/6", "iso8859-6", [["قباني", "لنزار", ""]]),
        ("chrGreek.dcm", "8859/7", "iso8859-7", [["Διονυσιος", "", ""]]),
        ("chrHbrw.dcm", "8859/8", "iso8859-8", [["שרון", "דבורה", ""]]),
        (
            "chrH31.dcm",
            "UNICODE UTF-8",
            "utf-8",
            [["Yamada", "Tarou", "A"], ["山田", "太郎", "I"], ["やまだ", "たろう", "P"]],
        ),
        (
            "chrH32.dcm",
            "UNICODE UTF-8",
            "utf-8",
            [["ﾔﾏﾀﾞ", "ﾀﾛｳ", "A"], ["山田", "太郎", "I"], ["やまだ", "たろう", "P"]],
        ),
        (
            "chrI2.dcm",
            "UNICODE UTF-8",
            "utf-8",
            [["Hong", "Gildong", "A"], ["洪", "吉洞", "I"], ["홍", "길동", "P"]],
        ),
        (
            "chrX1.dcm",
            "UNICODE UTF-8",
            "utf-8",
            [["Wang", "XiaoDong", "A"], ["王", "小東", "I"]],
        ),
    ],
)
def test_the_name_of_an_ecg_is_read_from_the_message_in_all_its_letters(
    shared: Path, sample: str, charset: str, codec: str, names: list[list[str]]
) -> None:
    message = message_of(ecg_of(shared, sample), Profile.model_validate({"charset": charset}))
    assert names_of(message.decode(codec)) == names


@pytest.mark.parametrize("sample", ["chrH31.dcm", "chrI2.dcm", "chrX1.dcm"])
def test_ideographs_stop_a_latin_message_unless_the_receiver_wants_the_first_name(
    shared: Path, sample: str
) -> None:
    ecg = ecg_of(shared, sample)
    with pytest.raises(ConfigurationError, match='name_groups = "first"'):
        message_of(ecg, Profile(charset="8859/1"))
    message = message_of(ecg, Profile(charset="8859/1", name_groups="first"))
    ((family, _, representation),) = names_of(message.decode("iso8859-1"))
    assert family in ("Yamada", "Hong", "Wang")
    assert representation == ""


@pytest.mark.parametrize(
    ("sex", "volume", "fraction"),
    [  # Petersen et al. 2017, as dicom_templates/summary.toml has it
        ("F", "80-175", "51-71"),
        ("M", "93-232", "48-68"),
        ("O", "", ""),
        ("", "", ""),
    ],
)
def test_ranges_are_those_of_the_summary_for_the_sex_of_the_patient(
    sex: str, volume: str, fraction: str
) -> None:
    head = ecg_head()
    head.PatientSex = sex
    message = compose_message(
        prediction(), record(), source_of(head), DEFAULT_FORM,
        destination="RIS", profile=Profile(), templates=TEMPLATES,
    ).content.decode()  # fmt: skip
    told = {
        str(obx[3]).split("^")[3]: str(obx[7])
        for obx in hl7.parse(message).segments("OBX")
        if str(obx[4]).endswith(".1") and str(obx[3]).count("^") == 5
    }
    assert (told["24100"], told["24103"], told["24105"]) == (volume, fraction, "")
    known = {row.field_id: row.ranges.get(sex) for row in TEMPLATES.summary.rows}
    for field_id, range_told in told.items():
        stands = known.get(field_id)
        assert range_told == (f"{stands.lower:g}-{stands.upper:g}" if stands else "")


@pytest.mark.parametrize("sex", ["F", ""])
def test_the_document_in_a_message_is_that_of_the_archive(sex: str) -> None:
    head = ecg_head()
    head.PatientSex = sex
    source = source_of(head)
    (archived,) = compose_objects(
        prediction(), record(), source, TEMPLATES, DEFAULT_FORM, {ResultKind.PDF}
    )
    message = compose_message(
        prediction(), record(), source, DEFAULT_FORM,
        destination="RIS", profile=Profile(pdf="ed"), templates=TEMPLATES,
    ).content.decode()  # fmt: skip
    (sent,) = [obx for obx in hl7.parse(message).segments("OBX") if str(obx[2]) == "ED"]
    assert b64decode(str(sent[5]).split("^")[4]) == document(dcmread(io.BytesIO(archived.content)))
