from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from node.domain.ecg import ECGRecord, Lead
from node.ecg.drawing import (
    INK,
    LEFT_MM,
    PIXELS_PER_MM,
    ROW_MM,
    TOP_MM,
    draw_ecg,
    draw_rhythm_strip,
)
from tests.unit.ecg.beat_phantom import changed, ecg


def dark(png: bytes) -> np.ndarray:
    """(rows, columns) True where something was drawn in ink."""
    pixels = np.asarray(Image.open(BytesIO(png)).convert("L"))
    return pixels < 110


def square_wave(height_mv: float) -> ECGRecord:
    """Every lead 0 mV for a second, then `height_mv` for a second, for 10 s."""
    seconds = np.arange(5000) / 500
    wave = np.where(seconds % 2 < 1, 0.0, height_mv).astype(np.float32)
    return ECGRecord(
        samples=np.tile(wave[:, np.newaxis], (1, 12)),
        leads=tuple(Lead),
        sampling_frequency_hz=500.0,
    )


def row_of(image: np.ndarray, row: int) -> np.ndarray:
    top = round((TOP_MM + row * ROW_MM) * PIXELS_PER_MM)
    return image[top : top + round(ROW_MM * PIXELS_PER_MM)]


def test_the_same_record_gives_the_same_bytes() -> None:
    assert draw_ecg(ecg(), title="t") == draw_ecg(ecg(), title="t")
    assert draw_ecg(ecg(), title="t") != draw_ecg(ecg(), title="u")


def test_the_picture_is_a_png_of_paper_size() -> None:
    image = Image.open(BytesIO(draw_ecg(ecg())))
    assert image.format == "PNG"
    assert image.size == (270 * PIXELS_PER_MM, 145 * PIXELS_PER_MM)
    assert round(image.info["dpi"][0] / 25.4, 1) == PIXELS_PER_MM


def test_a_millivolt_is_ten_millimetres_and_a_second_twenty_five() -> None:
    strip = row_of(dark(draw_ecg(square_wave(1.0))), 3)
    shown = strip[:, round((LEFT_MM + 10) * PIXELS_PER_MM) :]  # behind the lead's name
    rows = np.flatnonzero(shown.sum(axis=1) > 20 * PIXELS_PER_MM)  # lines of 25 mm
    assert abs((rows.max() - rows.min()) - 10 * PIXELS_PER_MM) <= PIXELS_PER_MM / 2
    edges = np.flatnonzero(shown.sum(axis=0) > 9 * PIXELS_PER_MM)
    steps = edges[np.flatnonzero(np.diff(edges, prepend=-99) > 3)]
    assert np.abs(np.diff(steps) - 25 * PIXELS_PER_MM).max() <= 2


def test_the_calibration_pulse_is_ten_by_five_millimetres() -> None:
    margin = row_of(dark(draw_ecg(square_wave(0.0))), 0)[:, : round(13 * PIXELS_PER_MM)]
    edges = np.flatnonzero(margin.sum(axis=0) > 9 * PIXELS_PER_MM)
    assert abs(edges.max() - edges.min() - 5 * PIXELS_PER_MM) <= 4


def test_a_gap_is_not_drawn() -> None:
    record = ecg()
    seconds = np.arange(len(record.samples)) / 500
    gap = (seconds >= 4) & (seconds < 6)
    gapped = changed(record, II=np.where(gap, np.nan, record.lead(Lead.II)))
    left, right = (round((LEFT_MM + s * 25) * PIXELS_PER_MM) for s in (4.05, 5.95))
    assert not row_of(dark(draw_ecg(gapped)), 3)[:, left:right].any()
    assert row_of(dark(draw_ecg(record)), 3)[:, left:right].any(axis=0).all()


def test_a_missing_lead_leaves_its_place_without_a_trace() -> None:
    record = ecg(leads=tuple(lead for lead in Lead if lead is not Lead.V1))
    left, right = (round((LEFT_MM + s * 25) * PIXELS_PER_MM) for s in (6.5, 7.4))
    assert not row_of(dark(draw_ecg(record)), 0)[:, left:right].any()
    assert row_of(dark(draw_ecg(ecg())), 0)[:, left:right].any()


def test_an_offset_does_not_move_the_trace() -> None:
    record = ecg(noise_mv=0.0)
    shifted = changed(record, V6=record.lead(Lead.V6) + 4)
    difference = dark(draw_ecg(shifted)) != dark(draw_ecg(record))
    assert difference.mean() < 1e-4


def test_records_without_any_sample_are_drawn_as_empty_paper() -> None:
    for samples in (np.empty((0, 12)), np.full((5000, 12), np.nan)):
        record = ECGRecord(
            samples=samples.astype(np.float32), leads=tuple(Lead), sampling_frequency_hz=500.0
        )
        strip = row_of(dark(draw_ecg(record)), 3)
        assert not strip[:, round((LEFT_MM + 10) * PIXELS_PER_MM) :].any()
    assert sum(INK) < 200


STRIP = (992, 100)
STRIP_PX_MM = 992 / 250


def strip_of(record: ECGRecord) -> np.ndarray:
    """(rows, columns) True where the trace is, right of its name and scale."""
    return (draw_rhythm_strip(record, size=STRIP).max(axis=2) < 110)[:, 300:]


@pytest.mark.parametrize(
    ("height_mv", "gain"),
    [(1.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (-2.0, 1.0), (4.0, 0.5), (-4.0, 0.5)],
)
def test_a_rhythm_strip_shows_the_whole_trace_at_the_gain_it_says(
    height_mv: float, gain: float
) -> None:
    strip = strip_of(square_wave(height_mv))
    rows = np.flatnonzero(strip.sum(axis=1) > 20 * STRIP_PX_MM)  # lines of 25 mm
    drawn_mm = (rows.max() - rows.min()) / STRIP_PX_MM
    assert abs(drawn_mm - abs(height_mv) * 10 * gain) < 1.0
    # Nothing runs along the edge that it would be cut off at.
    assert 0 < rows.min() < rows.max() < STRIP[1] - 1


def test_a_rhythm_strip_of_gaps_alone_is_paper() -> None:
    record = square_wave(1.0)
    empty = ECGRecord(
        samples=np.full_like(record.samples, np.nan),
        leads=record.leads,
        sampling_frequency_hz=record.sampling_frequency_hz,
    )
    assert not strip_of(empty).any()


def test_without_the_rhythm_lead_the_strip_shows_the_first_there_is() -> None:
    record = square_wave(1.0)
    without = ECGRecord(
        samples=record.samples[:, :1], leads=(Lead.V1,), sampling_frequency_hz=500.0
    )
    assert strip_of(without).any()
