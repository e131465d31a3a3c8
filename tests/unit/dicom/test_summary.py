from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from node.dicom import summary_page
from node.dicom.rendering import document, still
from node.dicom.summary import PDF_STRIP_SIZE, build_pdf, build_summary
from node.dicom.summary_page import STRIP_SIZE
from node.dicom.template import load_templates
from node.domain.prediction import Prediction, Spread
from tests.result_phantom import ecg_head, estimate, prediction

TEMPLATES = load_templates()
STRIPS = {
    build_summary: np.full((*STRIP_SIZE[::-1], 3), 200, np.uint8),
    build_pdf: np.full((*PDF_STRIP_SIZE[::-1], 3), 200, np.uint8),
}


def build(
    made: Prediction | None = None,
    source: Dataset | None = None,
    by: Callable[..., bytes] = build_summary,
) -> bytes:
    return by(
        made or prediction(),
        ecg_head() if source is None else source,
        STRIPS[by],
        sop_instance_uid="2.25.41",
        series_instance_uid="2.25.42",
        templates=TEMPLATES,
    )


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def pixels(made: Prediction | None = None, source: Dataset | None = None) -> NDArray[np.uint8]:
    return read(build(made, source)).pixel_array


def has(page: NDArray[np.uint8], colour: tuple[int, int, int]) -> bool:
    return bool((page == colour).all(axis=-1).any())


def of_sex(sex: str) -> Dataset:
    source = ecg_head()
    source.PatientSex = sex
    return source


def with_ejection_fraction(percent: float) -> Prediction:
    made = estimate("24103", percent, percent - 5, percent + 5, "%")
    return replace(prediction(), estimates=(made,))


def test_where_samples_differ_has_a_picture_of_its_own() -> None:
    cine = prediction().cine
    assert cine is not None
    levels = np.full(cine.frames.shape, summary_page.WHITE_SPREAD / 2, np.uint8)
    of_several = replace(cine, spread=Spread(samples=16, grey_levels=levels))
    page = pixels(replace(prediction(), cine=of_several))
    column = page[: summary_page.STRIP_TOP, summary_page.PICTURE_LEFT + 20]
    grey = (column == 128).all(axis=-1)
    assert grey.sum() >= summary_page.SMALL_PICTURE_EDGE
    assert grey[-40:].any()  # the third, and it ends above the ECG
    assert (page[summary_page.STRIP_TOP :] == pixels()[summary_page.STRIP_TOP :]).all()


def test_it_is_one_frame_in_colour_that_says_what_it_is() -> None:
    dataset = read(build())
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert (dataset.PhotometricInterpretation, dataset.Rows, dataset.Columns) == ("RGB", 800, 1024)
    assert (dataset.SyntheticData, dataset.ContentQualification) == ("YES", "RESEARCH")
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
    assert "SYNTHETIC" in dataset.SeriesDescription
    assert dataset.StudyInstanceUID == ecg_head().StudyInstanceUID
    assert dataset.SeriesInstanceUID == "2.25.42"


@pytest.mark.parametrize("by", [build_summary, build_pdf])
def test_it_points_at_the_ecg(by: Callable[..., bytes]) -> None:
    (instance,) = read(build(by=by)).SourceInstanceSequence
    assert instance.ReferencedSOPInstanceUID == ecg_head().SOPInstanceUID


@pytest.mark.parametrize("by", [build_summary, build_pdf])
def test_two_builds_are_the_same_bytes(by: Callable[..., bytes]) -> None:
    assert build(by=by) == build(by=by)


def test_the_page_is_the_same_for_two_patients_of_one_sex() -> None:
    other = ecg_head(name="Roe^John")
    other.PatientID, other.StudyDate, other.AccessionNumber = "P-2", "19990101", "A-2"
    np.testing.assert_array_equal(pixels(), pixels(source=other))


def test_a_simulated_model_is_said_across_the_page() -> None:
    row = summary_page.HEIGHT - 2
    assert (pixels()[row] == summary_page.WARNING).all()
    assert (pixels(prediction(simulated=False))[row] == summary_page.PAPER).all()


@pytest.mark.parametrize(
    ("sex", "percent", "outside"),
    [
        ("F", 51.0, False),
        ("F", 50.0, True),
        ("F", 72.0, True),
        ("M", 50.0, False),
        ("M", 69.0, True),
    ],
)
def test_a_number_is_held_against_the_reference_of_its_sex(
    sex: str, percent: float, outside: bool
) -> None:
    page = pixels(with_ejection_fraction(percent), of_sex(sex))
    assert has(page, summary_page.NORMAL)
    assert has(page, summary_page.OUTSIDE) is outside


@pytest.mark.parametrize("by", STRIPS)
@pytest.mark.parametrize(
    ("lower", "upper"), [(1.0, 2.0), (97.0, 99.0), (60.0, 60.0), (60.0, 60.01), (0.0, 100.0)]
)
def test_an_interval_far_outside_the_track_or_as_narrow_as_can_be_is_drawn(
    by: Callable[..., bytes], lower: float, upper: float
) -> None:
    made = estimate("24103", (lower + upper) / 2, lower, upper, "%")
    read(build(replace(prediction(), estimates=(made,)), of_sex("F"), by=by))


@pytest.mark.parametrize("sex", ["", "O"])
def test_without_a_sex_nothing_is_called_low_or_high(sex: str) -> None:
    page = pixels(with_ejection_fraction(20.0), of_sex(sex))
    assert not has(page, summary_page.NORMAL)
    assert not has(page, summary_page.OUTSIDE)


def test_a_number_without_reference_shows_none() -> None:
    made = replace(prediction(), estimates=(estimate("24105", 300.0, 200.0, 400.0, "g"),))
    page = pixels(made)
    assert not has(page, summary_page.NORMAL)
    assert not has(page, summary_page.OUTSIDE)


def test_end_systole_is_the_frame_that_differs_most_from_the_first() -> None:
    made = prediction()
    assert made.cine is not None
    frames = np.zeros((5, 8, 8), np.uint8)
    frames[3] = 90
    frames[4] = 40
    assert replace(made.cine, frames=frames).end_systole == 3


def test_what_a_bundle_does_not_offer_is_not_drawn() -> None:
    bare = replace(prediction(with_cine=False), estimates=(), diseases=(), findings=())
    page = pixels(bare)
    table = page[summary_page.STATEMENT + 10 : summary_page.STRIP_TOP - 2]
    assert (table == summary_page.PAPER).all()


def test_many_findings_end_before_the_page_does() -> None:
    made = prediction()
    many = replace(made, findings=made.findings * 40)
    below = slice(-2, None)
    np.testing.assert_array_equal(pixels(many)[below], pixels(replace(made, findings=()))[below])


def test_the_document_holds_the_page_and_no_date_but_the_ecgs() -> None:
    dataset = read(build(by=build_pdf))
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert (dataset.Modality, dataset.BurnedInAnnotation) == ("DOC", "NO")
    content = document(dataset)
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert len(dataset.EncapsulatedDocument) % 2 == 0
    dates = set(re.findall(rb"D:(\d{14})", content))
    assert dates == {b"20240229235958"}
    assert b"/Width 2048" in content


def test_the_picture_beside_it_shows_the_same_pixels() -> None:
    from PIL import Image

    dataset = read(build())
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(still(dataset)))), dataset.pixel_array
    )
