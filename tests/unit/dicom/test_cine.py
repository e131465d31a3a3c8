from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from node.dicom.cine import BANNER_HEIGHT, build_cine
from node.dicom.part10 import read_part10
from node.dicom.template import load_templates
from node.domain.errors import MalformedInstance, PredictionError
from node.domain.prediction import Cine, Prediction
from tests.result_phantom import EDGE, FRAMES, ecg_head, frames, prediction

TEMPLATES = load_templates()
FACTOR = 6  # 64 columns reach 384 at six times their size


def build(made: Prediction | None = None, source: Dataset | None = None) -> bytes:
    return build_cine(
        made or prediction(),
        ecg_head() if source is None else source,
        sop_instance_uid="2.25.11",
        series_instance_uid="2.25.12",
        templates=TEMPLATES,
    )


def read(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def test_known_pixels_of_every_frame_survive_below_the_banner() -> None:
    picture = read(build()).pixel_array[:, BANNER_HEIGHT : BANNER_HEIGHT + EDGE * FACTOR]
    assert picture.shape == (FRAMES, EDGE * FACTOR, EDGE * FACTOR)
    quarter = EDGE * FACTOR // 2
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        middle = (slice(None), row * quarter + quarter // 2, column * quarter + quarter // 2)
        expected = frames()[:, row * EDGE // 2 + EDGE // 4, column * EDGE // 2 + EDGE // 4]
        np.testing.assert_array_equal(picture[middle], expected)


def test_every_frame_carries_the_same_banner_outside_the_picture() -> None:
    pixels = read(build()).pixel_array
    top = pixels[:, :BANNER_HEIGHT]
    bottom = pixels[:, BANNER_HEIGHT + EDGE * FACTOR :]
    assert bottom.shape[1] == BANNER_HEIGHT
    for strip in (top, bottom):
        assert (strip == strip[0]).all()
        assert strip.max() > 250
        assert strip.min() == 0
        edges = np.concatenate([strip[0, :, 0], strip[0, :, -1], strip[0, 0], strip[0, -1]])
        assert edges.max() == 0, "text touches the edge and may be cut"


def test_a_model_of_real_hearts_has_no_simulated_banner() -> None:
    dataset = read(build(prediction(simulated=False)))
    assert dataset.Rows == BANNER_HEIGHT + EDGE * FACTOR


@pytest.mark.parametrize("columns", [16, 96, 400])
def test_the_banner_has_room_whatever_the_size(columns: int) -> None:
    cine = Cine(
        frames=np.zeros((2, columns, columns), np.uint8), frame_time_ms=40.0, view="four-chamber"
    )
    dataset = read(build(replace(prediction(), cine=cine)))
    assert dataset.Columns >= 384
    assert dataset.Columns % columns == 0


def test_it_plays_one_beat_at_the_speed_of_the_ecg_in_a_loop() -> None:
    dataset = read(build())
    assert dataset.FrameIncrementPointer == 0x00181063
    assert dataset.FrameTime == pytest.approx(800 / FRAMES, abs=0.001)
    assert dataset.NumberOfFrames == FRAMES
    assert (dataset.CineRate, dataset.RecommendedDisplayFrameRate) == (38, 38)  # 1000 / 26.67 ms
    assert dataset.PreferredPlaybackSequencing == 0


def test_it_says_that_it_is_synthetic_and_has_no_geometry() -> None:
    dataset = read(build())
    assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7.2"
    assert (dataset.SyntheticData, dataset.ContentQualification) == ("YES", "RESEARCH")
    assert list(dataset.ImageType) == ["DERIVED", "SECONDARY"]
    assert dataset.Modality == "OT"
    assert "SYNTHETIC" in dataset.SeriesDescription
    for keyword in ("PixelSpacing", "FrameOfReferenceUID", "ImagePositionPatient", "HeartRate"):
        assert keyword not in dataset
    assert "VOILUTFunction" not in dataset


def test_it_names_the_model_as_synthesizing_equipment() -> None:
    (equipment,) = read(build()).ContributingEquipmentSequence
    purpose = equipment.PurposeOfReferenceCodeSequence[0]
    assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
    assert equipment.ManufacturerModelName == "phantom"
    assert list(equipment.SoftwareVersions) == ["1.2.3", "onnxruntime 1.32.0 CPU", "fp32"]


def test_it_points_at_the_ecg() -> None:
    dataset, ecg = read(build()), ecg_head()
    (instance,) = dataset.SourceInstanceSequence
    assert instance.ReferencedSOPClassUID == ecg.SOPClassUID
    assert instance.ReferencedSOPInstanceUID == ecg.SOPInstanceUID
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == ecg.SeriesInstanceUID


def test_patient_and_study_are_the_ecgs_and_the_series_is_new() -> None:
    dataset, ecg = read(build()), ecg_head()
    for keyword in (
        "StudyInstanceUID",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyID",
    ):
        assert dataset[keyword].value == ecg[keyword].value, keyword
    assert dataset.SeriesInstanceUID == "2.25.12"
    assert dataset.SOPInstanceUID == "2.25.11"


def test_what_the_ecg_does_not_say_stays_empty() -> None:
    source = ecg_head()
    for keyword in ("StudyID", "AccessionNumber", "PatientSex", "ReferringPhysicianName"):
        del source[keyword]
    dataset = read(build(source=source))
    for keyword in ("StudyID", "AccessionNumber", "PatientSex", "ReferringPhysicianName"):
        assert dataset[keyword].is_empty


NAMES = [  # PS3.5 annexes H, I, J and K
    ("ISO_IR 100", "Müller^Jürgen"),
    ("ISO_IR 144", "Люкceмбypг"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
]


@pytest.mark.parametrize(("character_set", "name"), NAMES)
def test_names_keep_their_letters_in_every_character_set(
    character_set: str | list[str], name: str
) -> None:
    source = ecg_head(name=name)
    source.SpecificCharacterSet = character_set
    source.PatientID = "P-1"
    item = Dataset()
    item.PatientID = "OLD-1"
    item.TypeOfPatientID = "TEXT"
    source.OtherPatientIDsSequence = [item]
    buffer = io.BytesIO()
    source.ensure_file_meta()
    source.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    pydicom.dcmwrite(buffer, source, enforce_file_format=True)
    dataset = read(build(source=read_part10(buffer.getvalue())))
    assert dataset.SpecificCharacterSet == "ISO_IR 192"
    assert str(dataset.PatientName) == name
    assert dataset.OtherPatientIDsSequence[0].PatientID == "OLD-1"


def test_times_are_the_ecgs_and_none_is_the_clocks() -> None:
    dataset = read(build())
    assert (dataset.ContentDate, dataset.ContentTime) == ("20240229", "235958.500000")
    assert (dataset.SeriesDate, dataset.AcquisitionDateTime[:14]) == ("20240229", "20240229235958")
    assert "InstanceCreationDate" not in dataset


def test_an_acquisition_time_in_another_zone_is_told_by_the_ecgs_own_clock() -> None:
    source = ecg_head()
    source.TimezoneOffsetFromUTC = "+0100"
    source.AcquisitionDateTime = "20240229225958+0000"
    dataset = read(build(source=source))
    assert dataset.TimezoneOffsetFromUTC == "+0100"
    assert (dataset.ContentDate, dataset.ContentTime) == ("20240229", "235958.000000")


def test_two_builds_are_the_same_bytes() -> None:
    assert build() == build()


def test_no_cine_or_no_frame_time_is_a_prediction_error() -> None:
    still = Cine(frames=frames(), frame_time_ms=0.0, view="four-chamber")
    for made in (prediction(with_cine=False), replace(prediction(), cine=still)):
        with pytest.raises(PredictionError):
            build(made)


def test_an_ecg_without_any_date_is_malformed() -> None:
    source = ecg_head()
    del source.AcquisitionDateTime, source.StudyDate
    with pytest.raises(MalformedInstance):
        build(source=source)
