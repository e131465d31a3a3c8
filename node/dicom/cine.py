"""The synthetic cine as a multi-frame secondary capture that says, in every frame, what it is."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from node.dicom.composite import derived_object, encode, instance_reference, local_time, put_uid
from node.dicom.study import read_study
from node.dicom.template import CineTemplate, Templates
from node.domain.errors import PredictionError
from node.domain.prediction import Cine, Prediction

SOP_CLASS_UID: Final = "1.2.840.10008.5.1.4.1.1.7.2"
"""Multi-frame Grayscale Byte Secondary Capture Image Storage."""
FRAME_TIME: Final = 0x00181063
BANNER_HEIGHT: Final = 28
"""Rows of one strip: a line of text and its margins."""
BANNER_MARGIN: Final = 8
LARGEST_FONT: Final = 18


def build_cine(
    prediction: Prediction,
    source: Dataset,
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
) -> bytes:
    """The cine as a PS3.10 file: Multi-frame Grayscale Byte SC, uncompressed.

    Frames are enlarged by a whole factor and lengthened by the banner strips; there is no geometry,
    so that nobody measures on invented anatomy.
    Raises PredictionError (no cine, or a frame time that is not above 0) and MalformedInstance
    (the ECG names no instance or no date).
    Source: DICOM PS3.3 A.8.3, C.7.6.5, C.7.6.6, C.8.6.3, C.12.4.
    """
    cine = prediction.cine
    if cine is None or not math.isfinite(cine.frame_time_ms) or cine.frame_time_ms <= 0:
        raise PredictionError("there is no cine that can be played; check the bundle")
    template = templates.cine
    image = derived_object(
        source,
        sop_class_uid=SOP_CLASS_UID,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality="OT",
        series_description=template.series_description,
        series_number=template.series_number,
        instance_number=template.instance_number,
        model=prediction.model,
        templates=templates,
    )
    image.BodyPartExamined = template.body_part_examined
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = None
    image.DerivationDescription = template.derivation.format(view=cine.view)
    _put_source(image, source)
    _put_timing(image, cine)
    _put_pixels(image, bannered_frames(cine, template, simulated=prediction.model.simulated))
    return encode(image)


def bannered_frames(cine: Cine, template: CineTemplate, *, simulated: bool) -> NDArray[np.uint8]:
    """(n_frames, rows, columns) uint8: frames enlarged, the banner above, and below if simulated.

    The picture itself starts at row `BANNER_HEIGHT` and is covered by nothing.
    """
    n_frames, rows, columns = cine.frames.shape
    factor = max(1, math.ceil(template.minimum_columns / columns))
    size = (columns * factor, rows * factor)
    top = _strip(template.banner, size[0])
    strips_below = [_strip(template.simulated_banner, size[0])] if simulated else []
    height = size[1] + BANNER_HEIGHT * (1 + len(strips_below))
    canvas = np.empty((n_frames, height, size[0]), np.uint8)
    for target, frame in zip(canvas, cine.frames, strict=True):
        enlarged = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
        np.concatenate([top, np.asarray(enlarged), *strips_below], out=target)
    return canvas


def _strip(text: str, columns: int) -> NDArray[np.uint8]:
    """(BANNER_HEIGHT, columns) uint8: white text on black, as large as fits the width."""
    strip = Image.new("L", (columns, BANNER_HEIGHT))
    draw = ImageDraw.Draw(strip)
    for points in range(LARGEST_FONT, 0, -1):
        font = ImageFont.load_default(size=points)
        if draw.textlength(text, font=font) <= columns - 2 * BANNER_MARGIN:
            break
    draw.text((columns / 2, BANNER_HEIGHT / 2), text, fill=255, font=font, anchor="mm")
    return np.asarray(strip)


def _put_source(image: Dataset, source: Dataset) -> None:
    """Where it came from: the ECG as source instance, and as an instance of its own series.

    Source: DICOM PS3.3 C.12.4 (General Reference), C.12.2 (Common Instance Reference).
    """
    study = read_study(source)
    image.AcquisitionDateTime = local_time(source, study).strftime("%Y%m%d%H%M%S.%f")
    image.SourceInstanceSequence = [instance_reference(study.sop_class_uid, study.sop_instance_uid)]
    series = Dataset()
    put_uid(series, "SeriesInstanceUID", study.series_instance_uid)
    series.ReferencedInstanceSequence = [
        instance_reference(study.sop_class_uid, study.sop_instance_uid)
    ]
    image.ReferencedSeriesSequence = [series]


def _put_timing(image: Dataset, cine: Cine) -> None:
    """One heart beat, played in a loop at the speed of the ECG. Source: DICOM PS3.3 C.7.6.5."""
    rate = max(1, round(1000 / cine.frame_time_ms))
    image.NumberOfFrames = len(cine.frames)
    image.FrameIncrementPointer = FRAME_TIME
    image.FrameTime = f"{cine.frame_time_ms:.3f}"
    image.RecommendedDisplayFrameRate = rate
    image.CineRate = rate
    image.PreferredPlaybackSequencing = 0


def _put_pixels(image: Dataset, frames: NDArray[np.uint8]) -> None:
    """Pixels and how to show them. No VOI LUT Function: OHIF shows black when it is stated."""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = frames.shape[1:]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    image.BurnedInAnnotation = "NO"  # the banner identifies nobody
    image.RecognizableVisualFeatures = "NO"
    image.LossyImageCompression = "00"
    image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = "128", "256"
    pixels = frames.tobytes()
    image.add_new(0x7FE00010, "OB", pixels + b"\0" * (len(pixels) % 2))
