from __future__ import annotations

import random
import tarfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.domain.errors import UnusableData
from pipelines.datasets.cine_series import cut_view, order_cine, read_image
from pipelines.datasets.recording import AcquiredCine
from tests.unit.datasets.mr_images import file_of, mr_image, pixels_of


def shuffled(images: list[Dataset]) -> list[Dataset]:
    return random.Random(7).sample(images, len(images))


def series(**attributes: Any) -> list[Dataset]:
    return [mr_image(frame, **attributes) for frame in range(50)]


def test_frames_are_ordered_by_trigger_time_whatever_number_they_have() -> None:
    images = [mr_image(frame, InstanceNumber=1 + frame * 7 % 50) for frame in range(50)]
    cine = order_cine(shuffled(images), n_frames=50)
    assert np.array_equal(cine.frames, np.stack([pixels_of(frame) for frame in range(50)]))
    assert cine.pixel_spacing_mm == (1.8, 1.8)
    assert cine.trigger_times_ms is not None
    assert cine.trigger_times_ms[:2] == (10.0, 41.5)


def test_trigger_times_are_compared_as_numbers() -> None:
    images = [mr_image(frame, TriggerTime=str(90 + 5 * frame)) for frame in range(50)]
    cine = order_cine(shuffled(images))
    assert cine.trigger_times_ms == tuple(90.0 + 5 * frame for frame in range(50))


def test_without_trigger_times_the_instance_number_orders() -> None:
    cine = order_cine(shuffled(series(TriggerTime=None)))
    assert np.array_equal(cine.frames[:, 0, 0], 1000 * np.arange(50))
    assert cine.trigger_times_ms is None


def test_the_scanners_rescaling_is_applied() -> None:
    cine = order_cine(series(RescaleSlope="0.5", RescaleIntercept="-3"))
    assert np.array_equal(cine.frames[2], pixels_of(2) * 0.5 - 3)


@pytest.mark.parametrize(
    ("frame", "attributes", "reason"),
    [
        (4, {"TriggerTime": "10"}, "same place in the heart beat"),
        (4, {"PixelSpacing": ["1.8", "1.7"]}, "differ in Pixel Spacing"),
        (4, {"ImageOrientationPatient": [0, 1, 0, 0, 0, 1]}, "differ in orientation"),
        (4, {"pixels": np.zeros((20, 18), np.uint16)}, "differ in size"),
        (4, {"PixelSpacing": None}, "no Pixel Spacing"),
        (4, {"PixelSpacing": ["0", "1.8"]}, "not above 0"),
        (4, {"PixelData": b"\0" * 100}, "pixel data is missing, or not as long"),
        (4, {"PixelData": None}, "pixel data is missing"),
        (4, {"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME2"),
        (0, {"CardiacNumberOfImages": 25}, "50 frames, 25 stated"),
    ],
)
def test_a_frame_that_does_not_belong_is_refused_by_name(
    frame: int, attributes: dict[str, Any], reason: str
) -> None:
    images = series()
    images[frame] = mr_image(frame, **attributes)
    with pytest.raises(UnusableData, match=reason):
        order_cine(images)


def test_a_wrong_number_of_frames_is_refused() -> None:
    with pytest.raises(UnusableData, match="49 frames, 50 asked for"):
        order_cine(series(CardiacNumberOfImages=None)[:49], n_frames=50)
    with pytest.raises(UnusableData, match="49 frames, 50 stated"):
        order_cine(series()[:49])
    for images in ([], series(CardiacNumberOfImages=None)[:1]):
        with pytest.raises(UnusableData, match="frames are no cine"):
            order_cine(images)


def test_frames_without_any_order_are_refused() -> None:
    with pytest.raises(UnusableData, match="neither Trigger Time nor Instance Number"):
        order_cine(series(TriggerTime=None, InstanceNumber=None))


def multi_frame(delays_ms: list[float] | None) -> Dataset:
    stack = np.stack([pixels_of(frame) for frame in range(4)])
    image = mr_image(0, CardiacNumberOfImages=None, TriggerTime=None, PixelSpacing=None)
    image.NumberOfFrames, image.PixelData = 4, stack.astype("<u2").tobytes()
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = ["1.5", "1.25"]
    shared.PixelMeasuresSequence = Sequence([measures])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    if delays_ms is not None:
        groups = []
        for delay_ms in delays_ms:
            timing, group = Dataset(), Dataset()
            timing.NominalCardiacTriggerDelayTime = delay_ms
            group.CardiacSynchronizationSequence = Sequence([timing])
            groups.append(group)
        image.PerFrameFunctionalGroupsSequence = Sequence(groups)
    return image


def test_a_multi_frame_image_is_ordered_by_its_functional_groups() -> None:
    cine = order_cine([read_image(file_of(multi_frame([90.0, 30.0, 60.0, 0.0])))])
    assert np.array_equal(cine.frames, np.stack([pixels_of(frame) for frame in (3, 1, 2, 0)]))
    assert cine.trigger_times_ms == (0.0, 30.0, 60.0, 90.0)
    assert cine.pixel_spacing_mm == (1.5, 1.25)


def test_a_multi_frame_image_without_times_keeps_its_order() -> None:
    cine = order_cine([read_image(file_of(multi_frame(None)))])
    assert np.array_equal(cine.frames, np.stack([pixels_of(frame) for frame in range(4)]))


def test_what_cannot_be_decoded_is_refused() -> None:
    compressed = mr_image(0)
    content = file_of(compressed).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0")
    with pytest.raises(UnusableData, match="compressed"):
        read_image(content)
    for content in (b"", b"no DICOM", file_of(mr_image(0))[:200]):
        with pytest.raises(UnusableData, match="not a DICOM file"):
            read_image(content)


# the view


def cine_of(frame: np.ndarray[Any, Any], spacing_mm: tuple[float, float]) -> AcquiredCine:
    return AcquiredCine(
        frames=np.stack([frame, frame]).astype(np.float32), pixel_spacing_mm=spacing_mm
    )


def test_a_view_of_the_scans_own_spacing_only_cuts_and_scales() -> None:
    frame = np.arange(200 * 160, dtype=np.float32).reshape(200, 160) % 251
    view = cut_view(cine_of(frame, (1.8, 1.8)))
    cut = frame[52:148, 32:128]
    assert view.shape == (2, 96, 96)
    assert view.dtype == np.uint8
    np.testing.assert_array_equal(view[0], np.rint(cut * 255 / 250))


@pytest.mark.parametrize("lowest", [100.0, -5000.0])
def test_a_small_scan_is_framed_in_black(lowest: float) -> None:
    frame = lowest + np.arange(40 * 60).reshape(40, 60)
    view = cut_view(cine_of(frame, (1.8, 1.8)))
    assert not view[:, :28].any()
    assert not view[:, :, :18].any()
    assert view[0, 67, 77] == 255


@pytest.mark.parametrize("spacing_mm", [(1.8, 1.8), (1.2891, 1.2891), (2.4, 1.0), (0.9, 1.9)])
def test_a_disc_keeps_its_size_and_place_in_millimetres(spacing_mm: tuple[float, float]) -> None:
    size = [round(260 / own_mm) for own_mm in spacing_mm]
    rows, columns = (
        (np.arange(length) - (length - 1) / 2) * own_mm
        for length, own_mm in zip(size, spacing_mm, strict=True)
    )
    distance_mm = np.hypot(rows[:, None] - 12.0, columns[None, :] + 20.0)
    view = cut_view(cine_of(np.clip(31.0 - distance_mm, 0.0, 2.0), spacing_mm))[0] / 255.0
    assert view.sum() * 1.8**2 == pytest.approx(np.pi * 30**2, rel=0.01)
    centre = np.array([(np.indices(view.shape)[axis] * view).sum() / view.sum() for axis in (0, 1)])
    np.testing.assert_allclose((centre - 47.5) * 1.8, [12.0, -20.0], atol=0.15)


def test_one_bright_pixel_does_not_darken_the_heart() -> None:
    frame = np.full((96, 96), 100.0)
    frame[:, :48] = 0.0
    frame[50, 50] = 5000.0
    view = cut_view(cine_of(frame, (1.8, 1.8)))
    assert view[0, 0, 0] == 0
    assert view[0, 0, 95] == view[0, 50, 50] == 255


def test_a_blank_cine_is_refused() -> None:
    with pytest.raises(UnusableData, match="contrast"):
        cut_view(cine_of(np.full((96, 96), 7.0), (1.8, 1.8)))


# real series


def test_a_real_slice_is_ordered_as_its_instance_numbers_are(shared: Path) -> None:
    files = sorted((shared / "data/cmr/sunnybrook_SCD0000101_midslice").glob("*.dcm"))
    theirs = sorted((pydicom.dcmread(file) for file in files), key=lambda one: one.InstanceNumber)
    cine = order_cine(shuffled([read_image(file.read_bytes()) for file in files]), n_frames=20)
    assert np.array_equal(cine.frames, np.stack([one.pixel_array for one in theirs]))
    assert cine.pixel_spacing_mm == (1.367188, 1.367188)
    assert cine.trigger_times_ms == tuple(18.75 + 37.5 * frame for frame in range(20))


def test_the_view_of_a_real_slice_is_the_middle_of_its_image(shared: Path) -> None:
    files = sorted((shared / "data/cmr/sunnybrook_SCD0000101_midslice").glob("*.dcm"))
    cine = order_cine([read_image(file.read_bytes()) for file in files])
    view = cut_view(cine)
    # 96 pixels of 1.8 mm are 126.4 of its 1.367188 mm.
    middle = cine.frames[:, 65:191, 65:191]
    assert np.corrcoef(means(middle), means(view))[0, 1] > 0.98


def means(frames: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(n x 36,) of each frame in 6 x 6 squares."""
    edge = frames.shape[1] // 6
    return frames.reshape(-1, 6, edge, 6, edge).mean(axis=(2, 4)).ravel()


def test_every_slice_of_a_real_stack_is_ordered_by_trigger_time(
    shared: Path, tmp_path: Path
) -> None:
    with tarfile.open(shared / "data/cmr/sunnybrook_SCD0000301_sax_cine.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    slices: dict[float, list[Path]] = defaultdict(list)
    for file in sorted(tmp_path.rglob("*.dcm")):
        header = pydicom.dcmread(file, stop_before_pixels=True)
        slices[float(header.SliceLocation)].append(file)
    assert len(slices) == 10
    for files in slices.values():
        theirs = sorted((pydicom.dcmread(one) for one in files), key=lambda one: one.TriggerTime)
        cine = order_cine(shuffled([read_image(one.read_bytes()) for one in files]))
        assert np.array_equal(cine.frames, np.stack([one.pixel_array for one in theirs]))
        assert cine.pixel_spacing_mm == (1.2891, 1.2891)


def test_a_slice_of_which_two_phases_were_kept_is_refused(shared: Path) -> None:
    files = sorted((shared / "data/cmr/sunnybrook_SCD0003701_ED_ES").glob("*.dcm"))
    with pytest.raises(UnusableData, match="2 frames, 20 stated"):
        order_cine([read_image(file.read_bytes()) for file in files[1:3]])
