"""An ECG on its paper: 25 mm/s, 10 mm/mV, three rows of four leads and a rhythm strip."""

from __future__ import annotations

from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from node.domain.ecg import ECGRecord, Lead

PIXELS_PER_MM: Final = 8
OVERSAMPLING: Final = 2
"""Traces are drawn twice as large and averaged: Pillow's own lines are not smooth."""
COMPRESSION: Final = 1
"""Of PNG, 1 to 9: 1 takes half the time of the usual 6, for files half as large again."""

SPEED_MM_S: Final = 25.0
GAIN_MM_MV: Final = 10.0
COLUMN_S: Final = 2.5
SHOWN_S: Final = 10.0

ROWS: Final = (
    (Lead.I, Lead.AVR, Lead.V1, Lead.V4),
    (Lead.II, Lead.AVL, Lead.V2, Lead.V5),
    (Lead.III, Lead.AVF, Lead.V3, Lead.V6),
)
RHYTHM_LEAD: Final = Lead.II

LEFT_MM: Final = 15.0
RIGHT_MM: Final = 5.0
TOP_MM: Final = 15.0
ROW_MM: Final = 30.0
BOTTOM_MM: Final = 10.0
REACH_MM: Final = 50.0
"""A trace is drawn up to 5 mV from its row's line: every true beat, not all of a bad lead."""
WIDTH_MM: Final = LEFT_MM + SHOWN_S * SPEED_MM_S + RIGHT_MM
HEIGHT_MM: Final = TOP_MM + 4 * ROW_MM + BOTTOM_MM

STRIP_LINE: Final = 0.7
"""Share of the height of a rhythm strip that lies above 0 mV."""
STRIP_GAINS: Final = (1.0, 0.5, 0.25)
"""Of `GAIN_MM_MV`, the first that fits."""
STRIP_TRACE_MM: Final = 0.4

PAPER: Final = (255, 251, 250)
FINE_GRID: Final = (250, 226, 224)
BOLD_GRID: Final = (240, 183, 180)
INK: Final = (24, 26, 38)
QUIET_INK: Final = (120, 112, 118)
OPAQUE: Final = 255
TRACE_MM: Final = 0.28

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_ecg(record: ECGRecord, *, title: str = "", footer: str = "") -> bytes:
    """A PNG of the first 10 s on ECG paper, the same bytes for the same record and texts.

    Each lead is drawn from its median, as a recorder without direct coupling does; gaps stay
    empty, also beyond 5 mV; a lead that is not there says so. Nothing of the patient is drawn but
    what the caller puts into the texts (Latin letters: Pillow's own font has no others).
    """
    size = (_pixels(WIDTH_MM), _pixels(HEIGHT_MM))
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    _grid(pen)
    ink = Image.new("L", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING))
    tracer = ImageDraw.Draw(ink)
    for row, leads in enumerate(ROWS):
        _calibration_pulse(tracer, row)
        for column, lead in enumerate(leads):
            _segment(pen, tracer, record, lead, row, column * COLUMN_S, COLUMN_S)
    _calibration_pulse(tracer, len(ROWS))
    _segment(pen, tracer, record, RHYTHM_LEAD, len(ROWS), 0.0, SHOWN_S)
    sheet.paste(INK, mask=ink.reduce(OVERSAMPLING))
    _texts(pen, record, title, footer)
    encoded = BytesIO()
    dots_per_inch = PIXELS_PER_MM * 25.4
    sheet.save(encoded, "PNG", dpi=(dots_per_inch, dots_per_inch), compress_level=COMPRESSION)
    return encoded.getvalue()


def draw_rhythm_strip(record: ECGRecord, *, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(rows, columns, 3) uint8: the first 10 s of the rhythm lead as wide as fits, on its paper.

    size: (columns, rows) pixels. Where the trace would not fit, the line of 0 mV lies elsewhere
    than usual, then the gain is lower, and said. Without the rhythm lead, the first that is there.
    """
    columns, rows = size
    per_mm = columns / (SHOWN_S * SPEED_MM_S)
    lead = RHYTHM_LEAD if RHYTHM_LEAD in record.leads else record.leads[0]
    samples = record.lead(lead)[: round(SHOWN_S * record.sampling_frequency_hz)]
    if not np.isnan(samples).all():
        samples = samples - np.nanmedian(samples)
    heights_mm = samples * np.float32(GAIN_MM_MV)
    heights_mm = np.where(np.abs(heights_mm) <= REACH_MM, heights_mm, np.float32(np.nan))
    up = float(np.nanmax(heights_mm, initial=0.0)) * per_mm
    down = -float(np.nanmin(heights_mm, initial=0.0)) * per_mm
    edge = STRIP_TRACE_MM * per_mm
    room = rows - 2 * edge
    gain = next((each for each in STRIP_GAINS if (up + down) * each <= room), STRIP_GAINS[-1])
    line = min(max(rows * STRIP_LINE, edge + up * gain), rows - edge - down * gain)
    strip = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(strip)
    for step in range(0, int(columns / per_mm) + 1, 5):
        x = round(step * per_mm)
        pen.line((x, 0, x, rows), BOLD_GRID)
    for step in range(-int(line / per_mm / 5), int((rows - line) / per_mm / 5) + 1):
        y = round(line + step * 5 * per_mm)
        pen.line((0, y, columns, y), BOLD_GRID)
    ink = Image.new("L", (columns * OVERSAMPLING, rows * OVERSAMPLING))
    tracer = ImageDraw.Draw(ink)
    seconds = np.arange(len(samples)) / record.sampling_frequency_hz
    for points in _strokes(seconds, heights_mm):
        x_all = points[:, 0] * SPEED_MM_S * per_mm * OVERSAMPLING
        y_all = (line - points[:, 1] * gain * per_mm) * OVERSAMPLING
        corners = list(zip(x_all.tolist(), y_all.tolist(), strict=True))
        tracer.line(corners, OPAQUE, round(STRIP_TRACE_MM * per_mm * OVERSAMPLING), "curve")
    strip.paste(INK, mask=ink.reduce(OVERSAMPLING))
    font = ImageFont.load_default(round(4 * per_mm))
    scale = f"{SPEED_MM_S:g} mm/s   {GAIN_MM_MV * gain:g} mm/mV"
    pen.text((2 * per_mm, per_mm), f"{lead.value}   {scale}", INK, font, anchor="lt")
    return np.asarray(strip)


def _pixels(millimetres: float) -> int:
    return round(millimetres * PIXELS_PER_MM)


def _traced(millimetres: float) -> int:
    """Pixels of the enlarged picture that the traces are drawn in."""
    return round(millimetres * PIXELS_PER_MM * OVERSAMPLING)


def _row_line_mm(row: int) -> float:
    """Where 0 mV of a row lies, on a bold line of the grid."""
    return TOP_MM + (row + 0.5) * ROW_MM


def _font(size_mm: float) -> _Font:
    return ImageFont.load_default(_pixels(size_mm))


def _grid(pen: ImageDraw.ImageDraw) -> None:
    for step_mm, colour in ((1, FINE_GRID), (5, BOLD_GRID)):
        for x_mm in range(0, int(WIDTH_MM) + 1, step_mm):
            x = _pixels(x_mm)
            pen.line((x, 0, x, _pixels(HEIGHT_MM)), colour)
        for y_mm in range(0, int(HEIGHT_MM) + 1, step_mm):
            y = _pixels(y_mm)
            pen.line((0, y, _pixels(WIDTH_MM), y), colour)


def _calibration_pulse(tracer: ImageDraw.ImageDraw, row: int) -> None:
    """1 mV for 0.2 s, 10 mm by 5 mm, in the margin."""
    base, top = _row_line_mm(row), _row_line_mm(row) - GAIN_MM_MV
    corners = [(3.0, base), (5.0, base), (5.0, top), (10.0, top), (10.0, base), (12.0, base)]
    points = [(_traced(x), _traced(y)) for x, y in corners]
    tracer.line(points, OPAQUE, _traced(TRACE_MM), joint="curve")


def _segment(
    pen: ImageDraw.ImageDraw,
    tracer: ImageDraw.ImageDraw,
    record: ECGRecord,
    lead: Lead,
    row: int,
    start_s: float,
    duration_s: float,
) -> None:
    """One lead from `start_s` on, with its name and the mark where it begins."""
    left_mm, line_mm = LEFT_MM + start_s * SPEED_MM_S, _row_line_mm(row)
    name_at = (_pixels(left_mm + 1.5), _pixels(line_mm - ROW_MM / 2 + 1.5))
    if lead not in record.leads:
        pen.text(name_at, f"{lead.value}  not recorded", QUIET_INK, _font(3.4))
        return
    first = round(start_s * record.sampling_frequency_hz)
    last = round((start_s + duration_s) * record.sampling_frequency_hz) + 1
    samples = record.lead(lead)
    shown = samples[first:last]
    if not np.isnan(samples).all():
        shown = shown - np.nanmedian(samples)
    shown = np.where(np.abs(shown) * GAIN_MM_MV <= REACH_MM, shown, np.nan)
    seconds = np.arange(len(shown)) / record.sampling_frequency_hz
    for points in _strokes(seconds, shown):
        x = (left_mm + points[:, 0] * SPEED_MM_S) * PIXELS_PER_MM * OVERSAMPLING
        y = (line_mm - points[:, 1] * GAIN_MM_MV) * PIXELS_PER_MM * OVERSAMPLING
        corners = list(zip(x.tolist(), y.tolist(), strict=True))
        tracer.line(corners, OPAQUE, _traced(TRACE_MM), "curve")
    if start_s > 0:
        x_mark = _traced(left_mm)
        for y_mm in (line_mm - 6, line_mm + 3):
            tracer.line((x_mark, _traced(y_mm), x_mark, _traced(y_mm + 3)), OPAQUE, _traced(0.2))
    pen.text(name_at, lead.value, INK, _font(3.8), stroke_width=PIXELS_PER_MM / 16)


def _strokes(
    seconds: NDArray[np.float64], heights: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """(n, 2) seconds and heights of every stretch without a gap, two samples or more."""
    points = np.column_stack((seconds, heights.astype(np.float64)))
    present = ~np.isnan(heights)
    edges = np.flatnonzero(np.diff(present, prepend=False, append=False))
    return [
        points[first:last]
        for first, last in zip(edges[::2], edges[1::2], strict=True)
        if last - first >= 2
    ]


def _texts(pen: ImageDraw.ImageDraw, record: ECGRecord, title: str, footer: str) -> None:
    if title:
        pen.text((_pixels(5), _pixels(4)), title, INK, _font(5.0))
    scale = f"{SPEED_MM_S:g} mm/s   {GAIN_MM_MV:g} mm/mV   {_band(record)}"
    base = _pixels(HEIGHT_MM - 3.5)
    pen.text((_pixels(5), base), scale, INK, _font(3.4), anchor="ls")
    if footer:
        pen.text((_pixels(WIDTH_MM - 5), base), footer, QUIET_INK, _font(3.4), anchor="rs")


def _band(record: ECGRecord) -> str:
    """What the device filtered and how often it sampled: "0.05 to 150 Hz   500 Hz sampling"."""
    low, high = record.high_pass_hz, record.low_pass_hz
    parts = []
    if low is not None and high is not None:
        parts.append(f"{low:g} to {high:g} Hz")
    elif high is not None:
        parts.append(f"up to {high:g} Hz")
    elif low is not None:
        parts.append(f"from {low:g} Hz")
    if record.notch_hz is not None:
        parts.append(f"notch {record.notch_hz:g} Hz")
    parts.append(f"{record.sampling_frequency_hz:g} Hz sampling")
    return "   ".join(parts)
