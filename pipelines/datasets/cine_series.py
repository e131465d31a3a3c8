"""One cine out of DICOM images: ordered through the heart beat, checked, cut to a view."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from scipy import ndimage

from node.dicom.attribute import items_of, number_of, text_of
from node.dicom.part10 import READABLE_TRANSFER_SYNTAXES
from node.domain.errors import UnusableData
from pipelines.datasets.recording import AcquiredCine

_UNREADABLE: Final = (  # what pydicom raises on bytes that are not an image
    ArithmeticError,
    AttributeError,
    EOFError,
    InvalidDicomError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    struct.error,
    TypeError,
    ValueError,
)
SPACING_TOLERANCE_MM: Final = 1e-3
WHITE_PERCENTILE: Final = 99.9
"""Signal shown as full white: a few bright pixels of flow or coil must not darken the heart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """One image of the series, and what orders it."""

    pixels: NDArray[np.float32]
    trigger_time_ms: float | None
    number: float | None
    pixel_spacing_mm: tuple[float, float]
    orientation: str


def read_image(content: bytes, *, header_only: bool = False) -> Dataset:
    """The data set of a DICOM file.

    Raises UnusableData: not DICOM, cut short, or compressed (no decoder is installed with us).
    """
    try:
        dataset = pydicom.dcmread(BytesIO(content), stop_before_pixels=header_only)
        transfer_syntax_uid = str(dataset.file_meta.TransferSyntaxUID)
    except _UNREADABLE as error:
        raise UnusableData("not a DICOM file, or it is cut short") from error
    if transfer_syntax_uid not in READABLE_TRANSFER_SYNTAXES:
        raise UnusableData("the image is compressed or big endian; decompress it first")
    return dataset


def order_cine(images: Sequence[Dataset], *, n_frames: int | None = None) -> AcquiredCine:
    """The images of one slice as a cine, by trigger time, else by instance number.

    images: single-frame images of one series in any order, or one multi-frame image.
    Raises UnusableData: another number of frames than `n_frames` or than Cardiac Number of Images,
    two frames at one time, frames that differ in size, spacing or orientation, no pixel spacing,
    colour.
    """
    frames = [frame for image in images for frame in _frames(image)]
    stated = number_of(images[0], "CardiacNumberOfImages") if images else None
    for wanted, by in ((n_frames, "asked for"), (stated, "stated by Cardiac Number of Images")):
        if wanted is not None and len(frames) != wanted:
            raise UnusableData(f"{len(frames)} frames, {wanted:g} {by}")
    if len(frames) < 2:
        raise UnusableData(f"{len(frames)} frames are no cine")
    _check_alike(frames)
    timed = all(frame.trigger_time_ms is not None for frame in frames)
    order = [frame.trigger_time_ms if timed else frame.number for frame in frames]
    places = [place for place in order if place is not None]
    if len(places) != len(frames):
        raise UnusableData("frames have neither Trigger Time nor Instance Number")
    if len(set(places)) != len(places):
        raise UnusableData("two frames have the same place in the heart beat")
    ordered = [frames[index] for index in np.argsort(places)]
    return AcquiredCine(
        frames=np.stack([frame.pixels for frame in ordered]),
        pixel_spacing_mm=ordered[0].pixel_spacing_mm,
        trigger_times_ms=tuple(sorted(places)) if timed else None,
        series_description=text_of(images[0], "SeriesDescription"),
    )


def cut_view(cine: AcquiredCine, *, size: int = 96, spacing_mm: float = 1.8) -> NDArray[np.uint8]:
    """(n_frames, size, size) of 8 bits around the image centre, each pixel `spacing_mm` wide.

    Millimetres are kept: what lies outside the view is cut off, what the scan does not reach is
    black. Signal is scaled once for the whole cine, from its lowest to WHITE_PERCENTILE.
    Raises UnusableData for a cine without contrast.
    """
    floor = cine.frames.min()
    rows, columns = (
        _places(length, own_mm, size, spacing_mm)
        for length, own_mm in zip(cine.frames.shape[1:], cine.pixel_spacing_mm, strict=True)
    )
    grid = np.meshgrid(rows, columns, indexing="ij")
    # Averages over what a wider pixel covers; 0 where pixels get narrower.
    blur = [max(0.0, (spacing_mm / own_mm - 1) / 2) for own_mm in cine.pixel_spacing_mm]
    view = np.stack(
        [
            ndimage.map_coordinates(
                ndimage.gaussian_filter(frame, blur), grid, order=1, mode="constant", cval=floor
            )
            for frame in cine.frames
        ]
    )
    white = np.percentile(view, WHITE_PERCENTILE)
    if not white > floor:
        raise UnusableData("the cine has no contrast")
    shares = np.clip((view - floor) / (white - floor), 0.0, 1.0)
    stored: NDArray[np.uint8] = np.rint(255.0 * shares).astype(np.uint8)
    return stored


def _places(length: int, own_mm: float, size: int, spacing_mm: float) -> NDArray[np.float64]:
    """(size,) where the view's pixels lie on the image's, counted in the image's pixels."""
    from_centre_mm = (np.arange(size) - (size - 1) / 2) * spacing_mm
    return np.asarray(from_centre_mm / own_mm + (length - 1) / 2, np.float64)


def _frames(image: Dataset) -> Iterator[_Frame]:
    if (
        text_of(image, "PhotometricInterpretation") != "MONOCHROME2"
        or number_of(image, "SamplesPerPixel") != 1
    ):
        raise UnusableData("an image is not MONOCHROME2")
    try:
        pixels = image.pixel_array
    except _UNREADABLE as error:
        raise UnusableData("pixel data is missing, or not as long as declared") from error
    if pixels.ndim == 2:
        yield _frame(image, pixels, 0, number_of(image, "InstanceNumber"))
    else:
        for index, frame in enumerate(pixels):
            yield _frame(image, frame, index, float(index))


def _frame(image: Dataset, pixels: NDArray[np.generic], index: int, number: float | None) -> _Frame:
    """One frame, with attributes of the image or of its functional groups (PS3.3 C.7.6.16)."""
    measures = _group(image, index, "PixelMeasuresSequence")
    values = _group(image, index, "PixelValueTransformationSequence")
    timing = _group(image, index, "CardiacSynchronizationSequence")
    slope = number_of(values, "RescaleSlope")
    delay_ms = number_of(timing, "NominalCardiacTriggerDelayTime")
    return _Frame(
        pixels=pixels.astype(np.float32) * (1.0 if slope is None else slope)
        + (number_of(values, "RescaleIntercept") or 0.0),
        trigger_time_ms=number_of(timing, "TriggerTime") if delay_ms is None else delay_ms,
        number=number,
        pixel_spacing_mm=_spacing_mm(measures),
        orientation=text_of(
            _group(image, index, "PlaneOrientationSequence"), "ImageOrientationPatient"
        ),
    )


def _group(image: Dataset, index: int, keyword: str) -> Dataset:
    """The functional group of a frame, its own before the shared; without one, the image."""
    per_frame = items_of(image, "PerFrameFunctionalGroupsSequence")[index : index + 1]
    for groups in (*per_frame, *items_of(image, "SharedFunctionalGroupsSequence")[:1]):
        if found := items_of(groups, keyword):
            return found[0]
    return image


def _spacing_mm(measures: Dataset) -> tuple[float, float]:
    try:
        rows_mm, columns_mm = map(float, text_of(measures, "PixelSpacing").split("\\"))
    except ValueError as error:
        raise UnusableData(
            "no Pixel Spacing of two numbers; millimetres are not guessed"
        ) from error
    if not 0 < min(rows_mm, columns_mm) <= max(rows_mm, columns_mm) < np.inf:
        raise UnusableData("Pixel Spacing is not above 0")
    return rows_mm, columns_mm


def _check_alike(frames: list[_Frame]) -> None:
    first = frames[0]
    for frame in frames[1:]:
        if frame.pixels.shape != first.pixels.shape:
            raise UnusableData("frames differ in size")
        if not np.allclose(
            frame.pixel_spacing_mm, first.pixel_spacing_mm, rtol=0, atol=SPACING_TOLERANCE_MM
        ):
            raise UnusableData("frames differ in Pixel Spacing")
        if frame.orientation != first.orientation:
            raise UnusableData("frames differ in orientation: they are not one slice")
