"""The synthetic cine as secondary capture, multi-frame or a series; every frame says what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset

from node.dicom import dimse
from node.dicom.composite import derived_object, encode, local_time
from node.dicom.filing import BESIDE_ECG, Filing
from node.dicom.study import read_study
from node.dicom.template import CineTemplate, Templates
from node.domain.errors import PredictionError
from node.domain.form import CineForm
from node.domain.prediction import Cine, Prediction

CINE_CLASSES: Final = {
    CineForm.GRAYSCALE: dimse.MULTI_FRAME_GRAYSCALE_BYTE_SC,
    CineForm.TRUE_COLOR: dimse.MULTI_FRAME_TRUE_COLOR_SC,
    CineForm.SINGLE_FRAMES: dimse.SECONDARY_CAPTURE,
}
"""Without NONE: then there is none."""
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
    form: CineForm = CineForm.GRAYSCALE,
    filing: Filing = BESIDE_ECG,
) -> bytes:
    """The cine as a PS3.10 file: Multi-frame Grayscale Byte or True Color SC, uncompressed.

    form: one of those two.
    Frames are enlarged by a whole factor and lengthened by the banner strips; there is no geometry,
    so that nobody measures on invented anatomy.
    Raises PredictionError (no cine, or a frame time that is not above 0) and MalformedInstance
    (the ECG names no instance or no date).
    Source: DICOM PS3.3 A.8.3, A.8.5, C.7.6.5, C.7.6.6, C.8.6.3, C.12.4.
    """
    cine = _playable(prediction)
    image = _head(
        prediction,
        cine,
        source,
        sop_class_uid=CINE_CLASSES[form],
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        instance_number=templates.cine.instance_number,
        templates=templates,
        filing=filing,
    )
    _put_timing(image, cine)
    image.NumberOfFrames = len(cine.frames)
    image.FrameIncrementPointer = FRAME_TIME
    frames = bannered_frames(cine, templates.cine, simulated=prediction.model.simulated)
    if form is CineForm.TRUE_COLOR:
        _put_colors(image, frames)
    else:
        _put_grays(image, frames)
        image.RescaleIntercept, image.RescaleSlope, image.RescaleType = "0", "1", "US"
    return encode(image)


def build_frames(
    prediction: Prediction,
    source: Dataset,
    *,
    sop_instance_uids: Sequence[str],
    series_instance_uid: str,
    templates: Templates,
    filing: Filing = BESIDE_ECG,
) -> tuple[bytes, ...]:
    """The cine as a series of single-frame Secondary Captures, a PS3.10 file each, in their order.

    sop_instance_uids: one a frame. Viewers sort by instance number or by content time, which moves
    on with the beat. The IOD has no Cine module: frame time and rates are there beside it.
    Raises like `build_cine`.
    Source: DICOM PS3.3 A.8.1, C.7.6.1.1.2 (temporally related images); PS3.4 B.3.1.4 (Standard
    Extended SOP Class).
    """
    cine = _playable(prediction)
    frames = bannered_frames(cine, templates.cine, simulated=prediction.model.simulated)
    began_at = local_time(source, read_study(source))
    files = []
    for index, (uid, frame) in enumerate(zip(sop_instance_uids, frames, strict=True)):
        image = _head(
            prediction,
            cine,
            source,
            sop_class_uid=CINE_CLASSES[CineForm.SINGLE_FRAMES],
            sop_instance_uid=uid,
            series_instance_uid=series_instance_uid,
            instance_number=templates.cine.instance_number + index,
            templates=templates,
            filing=filing,
        )
        after_ms = index * cine.frame_time_ms
        moment = began_at + timedelta(milliseconds=after_ms)
        image.ContentDate, image.ContentTime = moment.strftime("%Y%m%d %H%M%S.%f").split()
        image.ImageComments = f"Frame {index + 1} of {len(frames)}, {after_ms:.1f} ms into the beat"
        _put_timing(image, cine)
        _put_grays(image, frame[np.newaxis])
        files.append(encode(image))
    return tuple(files)


def _playable(prediction: Prediction) -> Cine:
    """The cine of a prediction. Raises PredictionError (none, or its frame time is not above 0)."""
    cine = prediction.cine
    if cine is None or not math.isfinite(cine.frame_time_ms) or cine.frame_time_ms <= 0:
        raise PredictionError("there is no cine that can be played; check the bundle")
    return cine


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


def _head(
    prediction: Prediction,
    cine: Cine,
    source: Dataset,
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    series_instance_uid: str,
    instance_number: int,
    templates: Templates,
    filing: Filing,
) -> Dataset:
    """An image of the cine, all but its pixels and its timing."""
    study, template = read_study(source), templates.cine
    image = derived_object(
        source,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
        series_instance_uid=series_instance_uid,
        modality="OT",
        series_description=template.series_description,
        series_number=template.series_number,
        instance_number=instance_number,
        model=prediction.model,
        templates=templates,
        filing=filing,
    )
    image.BodyPartExamined = template.body_part_examined
    image.ConversionType = "WSD"
    image.ImageType = ["DERIVED", "SECONDARY"]
    image.PatientOrientation = None
    image.DerivationDescription = template.derivation.format(view=cine.view)
    image.AcquisitionDateTime = local_time(source, study).strftime("%Y%m%d%H%M%S.%f")
    filing.put_source(image, study)
    return image


def _put_timing(image: Dataset, cine: Cine) -> None:
    """One heart beat, played in a loop at the speed of the ECG. Source: DICOM PS3.3 C.7.6.5."""
    rate = max(1, round(1000 / cine.frame_time_ms))
    image.FrameTime = f"{cine.frame_time_ms:.3f}"
    image.RecommendedDisplayFrameRate = rate
    image.CineRate = rate
    image.PreferredPlaybackSequencing = 0


def _put_grays(image: Dataset, frames: NDArray[np.uint8]) -> None:
    """Pixels and how to show them. No VOI LUT Function: OHIF shows black when it is stated."""
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.PresentationLUTShape = "IDENTITY"
    image.WindowCenter, image.WindowWidth = "128", "256"
    _put_pixels(image, frames)


def _put_colors(image: Dataset, frames: NDArray[np.uint8]) -> None:
    """The same greys in three colours, pixel by pixel."""
    image.SamplesPerPixel = 3
    image.PhotometricInterpretation = "RGB"
    image.PlanarConfiguration = 0
    _put_pixels(image, np.repeat(frames[..., np.newaxis], 3, axis=-1))


def _put_pixels(image: Dataset, frames: NDArray[np.uint8]) -> None:
    """(n_frames, rows, columns) or (n_frames, rows, columns, 3)."""
    image.Rows, image.Columns = frames.shape[1:3]
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelRepresentation = 0
    image.BurnedInAnnotation = "NO"  # the banner identifies nobody
    image.RecognizableVisualFeatures = "NO"
    image.LossyImageCompression = "00"
    pixels = frames.tobytes()
    image.add_new(0x7FE00010, "OB", pixels + b"\0" * (len(pixels) % 2))
