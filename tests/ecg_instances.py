"""Real ECGs as instances to send: pydicom's Mortara recording under as many UIDs as wanted."""

from __future__ import annotations

import io
from collections.abc import Iterator

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

ROOT = "1.2.826.0.1.3680043.8.498.77"


def mortara() -> Dataset:
    """The real 12-lead recording that pydicom ships."""
    path = get_testdata_file("waveform_ecg.dcm", download=False)
    assert path is not None
    return dcmread(str(path))


def instances(count: int, *, start: int = 1) -> Iterator[tuple[str, bytes]]:
    """(SOP Instance UID, PS3.10 file) of so many studies of as many demonstration patients."""
    dataset = mortara()
    dataset.PatientName = "Doe^Jane"
    for number in range(start, start + count):
        uid = f"{ROOT}.{number}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.SeriesInstanceUID = f"{ROOT}.{number}.2"
        dataset.StudyInstanceUID = f"{ROOT}.{number}.3"
        dataset.PatientID = f"TEST-{number:05}"
        dataset.AccessionNumber = f"ACC{number:05}"
        file = io.BytesIO()
        dataset.save_as(file)
        yield uid, file.getvalue()
