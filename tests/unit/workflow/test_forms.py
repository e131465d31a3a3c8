"""Results in the form that a destination chose: other objects, other names, the same content."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.dicom.report_reading import read_measurements
from node.domain.delivery import ResultKind, ResultObject
from node.domain.errors import ConfigurationError
from node.domain.form import (
    DEFAULT_FORM,
    CharacterSet,
    CineForm,
    ReportForm,
    ResultForm,
    StudyForm,
)
from node.domain.identifiers import sha256
from node.hl7.profile import Profile
from node.workflow.compose import compose_message
from tests.result_forms import CINES, FORMS, TEMPLATES, composed, of_kind, record, source_of
from tests.result_phantom import FRAMES, ecg_head, prediction

CLASSES = {
    CineForm.NONE: None,
    CineForm.GRAYSCALE: "1.2.840.10008.5.1.4.1.1.7.2",
    CineForm.TRUE_COLOR: "1.2.840.10008.5.1.4.1.1.7.4",
    CineForm.SINGLE_FRAMES: "1.2.840.10008.5.1.4.1.1.7",
    ReportForm.COMPREHENSIVE_3D: "1.2.840.10008.5.1.4.1.1.88.34",
    ReportForm.ENHANCED: "1.2.840.10008.5.1.4.1.1.88.22",
    ReportForm.COMPREHENSIVE: "1.2.840.10008.5.1.4.1.1.88.33",
}
"""DICOM PS3.6 annex A."""


def read(made: ResultObject) -> Dataset:
    return dcmread(io.BytesIO(made.content))


def cines(form: ResultForm) -> list[Dataset]:
    return [read(made) for made in of_kind(ResultKind.CINE, composed(form))]


def report(form: ResultForm) -> Dataset:
    (made,) = of_kind(ResultKind.REPORT, composed(form))
    return read(made)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_is_the_sop_classes_it_says(form: ResultForm) -> None:
    objects = composed(form)
    classes = {made.sop_class_uid for made in of_kind(ResultKind.CINE, objects)}
    assert classes == {CLASSES[form.cine]} - {None}
    reports = [made.sop_class_uid for made in of_kind(ResultKind.REPORT, objects)]
    assert reports == ([] if form.report is ReportForm.NONE else [CLASSES[form.report]])
    for made in objects:
        dataset = read(made)
        assert (dataset.SOPClassUID, dataset.SOPInstanceUID) == (
            made.sop_class_uid,
            made.identifier,
        )


def test_one_name_is_one_object_and_one_object_has_one_name() -> None:
    in_other_letters = [
        ResultForm(character_set=each) for each in (CharacterSet.LATIN_1, CharacterSet.KANJI)
    ]
    named: dict[str, bytes] = {}
    for form in (*FORMS, *in_other_letters):
        for made in composed(form):
            assert named.setdefault(made.identifier, made.content) == made.content
    assert len({_without_names(content) for content in named.values()}) == len(named)


def _without_names(content: bytes) -> str:
    """What an object is, but for what it is called."""
    dataset = dcmread(io.BytesIO(content))
    if "PixelData" in dataset:
        dataset.PixelData = sha256(dataset.PixelData).encode()
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        del dataset[keyword]
    return dataset.to_json()


def test_a_character_set_that_comes_to_the_same_letters_is_the_same_object() -> None:
    as_the_ecg = ResultForm(character_set=CharacterSet.SOURCE)
    assert composed(as_the_ecg, ecg_head("ISO_IR 192")) == composed(source=ecg_head("ISO_IR 192"))


def test_colours_are_the_greys_three_times() -> None:
    (grey,), (colour,) = cines(DEFAULT_FORM), cines(ResultForm(cine=CineForm.TRUE_COLOR))
    assert (colour.PhotometricInterpretation, colour.PlanarConfiguration) == ("RGB", 0)
    assert colour.FrameTime == grey.FrameTime
    for channel in range(3):
        np.testing.assert_array_equal(colour.pixel_array[..., channel], grey.pixel_array)
    for keyword in ("RescaleIntercept", "PresentationLUTShape", "WindowCenter"):
        assert keyword not in colour


def test_single_frames_are_the_cine_in_its_order_and_at_its_speed() -> None:
    (whole,), frames = cines(DEFAULT_FORM), cines(ResultForm(cine=CineForm.SINGLE_FRAMES))
    assert len(frames) == FRAMES
    np.testing.assert_array_equal(
        np.stack([frame.pixel_array for frame in frames]), whole.pixel_array
    )
    assert [frame.InstanceNumber for frame in frames] == list(range(1, FRAMES + 1))
    assert len({frame.SeriesInstanceUID for frame in frames}) == 1
    times = [frame.ContentDate + frame.ContentTime for frame in frames]
    assert times == sorted(set(times))
    # 2024-02-29 23:59:58.5 and 29 frames of 800/30 ms later: 773.333 ms.
    assert (times[0], times[-1]) == ("20240229235958.500000", "20240229235959.273333")
    assert {str(frame.FrameTime) for frame in frames} == {str(whole.FrameTime)}
    assert frames[1].ImageComments == "Frame 2 of 30, 26.7 ms into the beat"
    assert "NumberOfFrames" not in frames[0]


def test_single_frames_across_midnight_are_of_the_next_day() -> None:
    source = ecg_head()
    source.AcquisitionDateTime = "20240229235959.900"
    made = composed(ResultForm(cine=CineForm.SINGLE_FRAMES), source)
    last = read(of_kind(ResultKind.CINE, made)[-1])
    assert (last.ContentDate, last.ContentTime) == ("20240301", "000000.673333")
    assert last.SeriesDate == "20240229"


@pytest.mark.parametrize("cine", CINES)
def test_the_report_names_all_of_the_cine_that_is_sent_with_it(cine: CineForm) -> None:
    objects = composed(ResultForm(cine=cine))
    (document,) = (read(made) for made in of_kind(ResultKind.REPORT, objects))
    library = document.ContentSequence[-3]
    assert library.ConceptNameCodeSequence[0].CodeValue == "111028"
    images = library.ContentSequence[0].ContentSequence
    named = [image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for image in images]
    assert named == [made.identifier for made in of_kind(ResultKind.CINE, objects)]


@pytest.mark.parametrize("form", [each for each in ReportForm if each is not ReportForm.NONE])
def test_every_report_says_the_same(form: ReportForm) -> None:
    assert read_measurements(report(ResultForm(report=form))) == read_measurements(
        report(DEFAULT_FORM)
    )


def test_a_study_of_their_own_refers_to_that_of_the_ecg() -> None:
    ecg = ecg_head()
    ecg.StudyDescription = "Resting ECG"
    form = ResultForm(study=StudyForm.NEW)
    cine, document = (read(made) for made in composed(form, ecg))
    assert cine.StudyInstanceUID == document.StudyInstanceUID != ecg.StudyInstanceUID
    for made in (cine, document):
        assert made.StudyDescription == "AI estimates from ECG (SYNTHETIC)"
        assert made.StudyID not in ("", ecg.StudyID)
        assert made.AccessionNumber == ecg.AccessionNumber
    (elsewhere,) = cine.StudiesContainingOtherReferencedInstancesSequence
    assert elsewhere.StudyInstanceUID == ecg.StudyInstanceUID
    (series,) = elsewhere.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ecg.SeriesInstanceUID
    assert "ReferencedSeriesSequence" not in cine
    listed = {
        study.StudyInstanceUID: [
            item.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        ]
        for study in document.CurrentRequestedProcedureEvidenceSequence
    }
    assert listed == {
        ecg.StudyInstanceUID: [ecg.SOPInstanceUID],
        cine.StudyInstanceUID: [cine.SOPInstanceUID],
    }
    (request,) = document.ReferencedRequestSequence
    assert request.StudyInstanceUID == ecg.StudyInstanceUID


def test_one_ecg_has_one_new_study_whatever_is_in_it() -> None:
    forms = [form for form in FORMS if form.study is StudyForm.NEW]
    studies = {read(made).StudyInstanceUID for form in forms for made in composed(form)}
    assert len(studies) == 1


@pytest.mark.parametrize(
    ("stated", "choice", "written", "name"),
    [
        ("ISO_IR 100", CharacterSet.SOURCE, "ISO_IR 100", "Müller^Jürgen"),
        (["", "ISO 2022 IR 100"], CharacterSet.SOURCE, "ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 192", CharacterSet.LATIN_1, "ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", CharacterSet.SOURCE, "ISO_IR 144", "Люкceмбypг"),
        ("ISO_IR 192", CharacterSet.GB18030, "GB18030", "Wang^XiaoDong=王^小东"),
        (
            "ISO_IR 192",
            CharacterSet.KANJI,
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (None, CharacterSet.SOURCE, None, "Doe^Jane"),
        ("ISO_IR 192", CharacterSet.DEFAULT, None, "Doe^Jane"),
    ],
)
def test_names_are_written_in_the_character_set_that_was_chosen(
    stated: str | list[str] | None,
    choice: CharacterSet,
    written: str | list[str] | None,
    name: str,
) -> None:
    source = ecg_head(name=name)
    if stated is None:
        del source.SpecificCharacterSet
    else:
        source.SpecificCharacterSet = stated
    for made in composed(ResultForm(character_set=choice), source):
        dataset = read(made)
        assert dataset.get("SpecificCharacterSet") == written
        assert str(dataset.PatientName) == name


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (CharacterSet.LATIN_1, "Yamada^Tarou=山田^太郎"),
        (CharacterSet.DEFAULT, "Müller^Jürgen"),
        (CharacterSet.KANJI, "Müller^Jürgen"),
        (CharacterSet.CYRILLIC, "Müller^Jürgen"),
        (CharacterSet.HANGUL, "Люкceмбypг^ä"),
    ],
)
def test_a_letter_that_the_character_set_does_not_have_is_refused_and_not_told(
    choice: CharacterSet, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"PatientName .* set character_set") as raised:
        composed(ResultForm(character_set=choice), ecg_head(name=name))
    assert not set(name.split("^")) & set(raised.value.message.split())


def test_a_message_names_what_the_archive_gets() -> None:
    for form in FORMS:
        message = compose_message(
            prediction(), record(), source_of(ecg_head()), form,
            destination="RIS", profile=Profile(), templates=TEMPLATES,
        ).content.decode()  # fmt: skip
        objects = composed(form)
        assert read(objects[0]).StudyInstanceUID in message
        for made in (*of_kind(ResultKind.CINE, objects)[:1], *of_kind(ResultKind.REPORT, objects)):
            assert made.identifier in message
        assert ("CINE-UID" in message) is (form.cine is not CineForm.NONE)
        assert ("REPORT-UID" in message) is (form.report is not ReportForm.NONE)
