from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from node.domain.ecg import STANDARD_LEADS
from pipelines.datasets.dicom_folder import read_cine_folder, read_ecg_folder
from pipelines.datasets.recording import Recording, Refused
from tests.unit.datasets.mr_images import file_of, mr_image, pixels_of


def test_real_ecgs_are_read_as_pydicom_reads_them_and_others_refused(shared: Path) -> None:
    folder = shared / "data/ecg_dicom"
    found = list(read_ecg_folder(folder))
    assert len(found) == len([path for path in folder.rglob("*") if path.is_file()])
    refused = {one.path.name: one.code for one in found if isinstance(one, Refused)}
    assert refused == {
        "cabolabs_1lead_200hz.dcm": "unusable-data",
        "ge_maclab_hemodynamic_240hz.dcm": "unsupported-instance",
    }
    for one in found:
        if isinstance(one, Recording):
            theirs = pydicom.dcmread(one.source)
            assert one.ecg is not None
            assert one.ecg.leads == STANDARD_LEADS
            np.testing.assert_allclose(one.ecg.samples, theirs.waveform_array(0) / 1e3, atol=1e-5)
            assert one.subject_id == str(theirs.PatientID).strip()


def test_real_cines_are_found_slice_by_slice_and_nothing_is_dropped(shared: Path) -> None:
    found = list(read_cine_folder(shared / "data/cmr"))
    (whole,) = (one for one in found if isinstance(one, Recording))
    assert whole.source.name == "101.dcm"
    assert whole.cine is not None
    assert whole.cine.frames.shape == (20, 256, 256)
    reasons = [one.reason for one in found if isinstance(one, Refused)]
    # SCD0003701 keeps ED and ES of four slices, one of two more; the rest are text and an archive.
    assert reasons.count("2 frames, 20 stated by Cardiac Number of Images") == 4
    assert reasons.count("1 frames, 20 stated by Cardiac Number of Images") == 2
    others = [path for path in (shared / "data/cmr").rglob("*.*") if path.suffix != ".dcm"]
    files = [path for path in others if path.is_file()]
    assert reasons.count("not a DICOM file, or it is cut short") == len(files)


def test_an_object_of_nobody_is_refused_unless_the_caller_knows(tmp_path: Path) -> None:
    image = mr_image(0, PatientID="", CardiacNumberOfImages=2)
    other = mr_image(1, PatientID="", CardiacNumberOfImages=2)
    (tmp_path / "a.dcm").write_bytes(file_of(image))
    (tmp_path / "b.dcm").write_bytes(file_of(other))
    refused = list(read_cine_folder(tmp_path))
    assert [one.reason for one in refused if isinstance(one, Refused)] == [
        "nobody knows whose this is: it cannot be split by subject"
    ] * 2
    (known,) = read_cine_folder(tmp_path, subject_of=lambda path, _dataset: path.parent.name)
    assert isinstance(known, Recording)
    assert known.subject_id == tmp_path.name


def test_slices_and_series_are_kept_apart(tmp_path: Path) -> None:
    number = 0
    for series in ("2.25.1", "2.25.2"):
        for height_mm in (0, 8):
            for frame in (2, 0, 1):
                image = mr_image(
                    frame,
                    pixels=pixels_of(frame + height_mm),
                    SeriesInstanceUID=series,
                    ImagePositionPatient=[0, 0, height_mm],
                    CardiacNumberOfImages=3,
                )
                (tmp_path / f"{number:02}").write_bytes(file_of(image))
                number += 1
    found = list(read_cine_folder(tmp_path))
    firsts = []
    for one in found:
        assert isinstance(one, Recording)
        assert one.cine is not None
        assert np.array_equal(one.cine.frames[:, 0, 0] - one.cine.frames[0, 0, 0], [0, 1000, 2000])
        firsts.append(one.cine.frames[0, 0, 0])
    assert firsts == [0, 8000, 0, 8000]


@pytest.mark.parametrize("reader", [read_ecg_folder, read_cine_folder])
def test_no_reason_names_the_patient(tmp_path: Path, reader: object) -> None:
    (tmp_path / "a.dcm").write_bytes(file_of(mr_image(0)))
    (refused,) = (
        read_ecg_folder(tmp_path) if reader is read_ecg_folder else read_cine_folder(tmp_path)
    )
    assert isinstance(refused, Refused)
    assert "secret" not in refused.reason.lower()
