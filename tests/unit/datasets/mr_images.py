"""MR images whose every pixel is chosen by the test, written by pydicom."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

ROWS, COLUMNS = 20, 16
FRAME_TIME_MS = 31.5
SERIES_UID = "1.3.12.2.1107.5.2.18.41754.2014.10"


def pixels_of(frame: int) -> NDArray[np.uint16]:
    """(ROWS, COLUMNS) that name their frame, row and column."""
    row, column = np.indices((ROWS, COLUMNS))
    return (1000 * frame + 20 * row + column).astype(np.uint16)


def mr_image(frame: int, pixels: NDArray[np.uint16] | None = None, **attributes: Any) -> Dataset:
    """Frame `frame` of a series of 50. An attribute of None is left out."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = MRImageStorage
    image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID
    image.PatientID, image.PatientName = "secret-1", "Secret^Name"
    image.SeriesInstanceUID, image.SeriesDescription = SERIES_UID, "CINE_segmented_LAX_4Ch"
    image.InstanceNumber = frame + 1
    image.TriggerTime = str(round(10 + FRAME_TIME_MS * frame, 1))
    image.CardiacNumberOfImages = 50
    image.ImagePositionPatient = [0, 0, 0]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing = ["1.8", "1.8"]
    stored = pixels_of(frame) if pixels is None else pixels
    image.Rows, image.Columns = stored.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 0
    image.PixelData = stored.astype("<u2").tobytes()
    for keyword, value in attributes.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    return image


def file_of(image: Dataset) -> bytes:
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
