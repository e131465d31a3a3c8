"""One page for a reader in a hurry: numbers and their reference, the pictures, the ECG."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from node.dicom.template import SummaryRow, Templates
from node.domain.prediction import Cine, DiseaseProbability, Estimate, Prediction, Spread
from node.domain.reference_range import ReferenceRange, Standing

WIDTH, HEIGHT = 1024, 800
"""Points of the page; read in a viewer's window of 1280 x 800 beside its own tools."""
STRIP_SIZE: Final = (992, 100)
"""Points of the ECG's place."""

_Colour = tuple[int, int, int]
PAPER: Final = (252, 252, 252)
INK: Final = (20, 22, 30)
QUIET: Final = (96, 98, 108)
RULE: Final = (205, 207, 212)
NORMAL: Final = (196, 226, 203)
OUTSIDE: Final = (186, 20, 20)
BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)
WARNING: Final = (255, 190, 60)

BODY, SMALL, LARGE = 16, 14, 21
MARGIN: Final = 16
BANNER_HEIGHT: Final = 32
TITLE, STATEMENT = 58, 104
ROW_HEIGHT, DISEASE_HEIGHT = 20, 18
VALUE_RIGHT, INTERVAL_LEFT, TRACK_LEFT, TRACK_RIGHT, RANGE_LEFT = 318, 334, 452, 604, 618
PICTURE_LEFT, PICTURE_EDGE, SMALL_PICTURE_EDGE = 800, 208, 128
WHITE_SPREAD: Final = 64.0
DISEASE_COLUMNS: Final = 2
TABLE_RIGHT: Final = PICTURE_LEFT - MARGIN
STRIP_TOP: Final = HEIGHT - BANNER_HEIGHT - STRIP_SIZE[1] - 86
FOOTER_HEIGHT: Final = 16
LINES_OF_FINDINGS, LINES_OF_MODEL = 2, 2

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_summary(
    prediction: Prediction,
    *,
    sex: str,
    rhythm_strip: NDArray[np.uint8],
    title: str,
    templates: Templates,
    scale: int = 1,
) -> Image.Image:
    """The page, RGB, `scale` times 1024 x 800; the same pixels for the same answer.

    sex: "F", "M", or anything else for unknown, which shows no reference.
    rhythm_strip: (rows, columns, 3) uint8, `scale` times `STRIP_SIZE`.
    Nothing on it names the patient. Latin letters only: Pillow's own font has no others.
    """
    page = _Page(scale)
    text = templates.summary.text
    page.banner(0, text.banner, WHITE, BLACK)
    # To the right: on the left viewers lay their own words over the picture, in the middle tools.
    page.text(WIDTH - MARGIN, TITLE, title, size=LARGE, anchor="rs")
    rate = text.heart_rate.format(rate=f"{prediction.heart_rate_bpm:.0f}")
    page.text(WIDTH - MARGIN, TITLE + 22, rate, anchor="rs")
    page.text(MARGIN, STATEMENT, text.statement, QUIET, SMALL)
    below = _numbers(page, STATEMENT + 24, prediction, sex, templates)
    if prediction.diseases:
        _diseases(page, below + 22, prediction.diseases, templates)
    if prediction.cine is not None:
        _pictures(page, STATEMENT + 8, prediction.cine, templates)
    page.picture(MARGIN, STRIP_TOP, Image.fromarray(rhythm_strip))
    _footer(page, STRIP_TOP + STRIP_SIZE[1] + FOOTER_HEIGHT, prediction, templates)
    if prediction.model.simulated:
        page.banner(HEIGHT - BANNER_HEIGHT, text.simulated_banner, BLACK, WARNING)
    return page.image


class _Page:
    """Draws in points, whatever the size of the pixels."""

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), PAPER)
        self._pen = ImageDraw.Draw(self.image)

    def text(
        self, x: float, y: float, text: str, colour: _Colour = INK, size: int = BODY,
        anchor: str = "ls",
    ) -> None:  # fmt: skip
        at = (x * self.scale, y * self.scale)
        self._pen.text(at, text, colour, _font(size * self.scale), anchor=anchor)

    def box(self, left: float, top: float, right: float, bottom: float, colour: _Colour) -> None:
        """A pixel at the least, each way."""
        x, y, beyond_x, beyond_y = (round(each * self.scale) for each in (left, top, right, bottom))
        self._pen.rectangle((x, y, max(x, beyond_x - 1), max(y, beyond_y - 1)), fill=colour)

    def dot(self, x: float, y: float, radius: float, colour: _Colour) -> None:
        self._pen.circle((x * self.scale, y * self.scale), radius * self.scale, fill=colour)

    def picture(self, left: float, top: float, picture: Image.Image) -> None:
        self.image.paste(picture, (round(left * self.scale), round(top * self.scale)))

    def paragraph(self, line: float, text: str, most: int) -> float:
        """Quiet small text in at most so many lines; gives the place of the line after it."""
        font, room = _font(SMALL * self.scale), (WIDTH - 2 * MARGIN) * self.scale
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self._pen.textlength(longer, font=font) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        if len(lines) > most:
            lines[most - 1] = f"{lines[most - 1].rsplit(' ', 1)[0]} ..."
        for each in lines[:most]:
            self.text(MARGIN, line, each, QUIET, SMALL)
            line += FOOTER_HEIGHT
        return line

    def banner(self, top: float, text: str, ink: _Colour, ground: _Colour) -> None:
        """A strip across the page."""
        self.box(0, top, WIDTH, top + BANNER_HEIGHT, ground)
        self.text(WIDTH / 2, top + BANNER_HEIGHT / 2, text, ink, LARGE, "mm")


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _numbers(
    page: _Page, line: float, prediction: Prediction, sex: str, templates: Templates
) -> float:
    """A line a number; gives the last line's place."""
    estimates = {estimate.field_id: estimate for estimate in prediction.estimates}
    rows = [row for row in templates.summary.rows if row.field_id in estimates]
    if not rows:
        return line
    text = templates.summary.text
    coverage = f"{prediction.model.interval_coverage * 100:g}"
    named = {"F": text.female, "M": text.male}.get(sex)
    reference = text.range_title.format(sex=named) if named else text.unknown_sex_title
    page.text(INTERVAL_LEFT, line, text.interval_title.format(coverage=coverage), QUIET, SMALL)
    page.text(RANGE_LEFT if named else TRACK_LEFT, line, reference, QUIET, SMALL)
    for row in rows:
        page.box(MARGIN, line + 5, TABLE_RIGHT, line + 6, RULE)
        line += ROW_HEIGHT
        _number(page, line, row, estimates[row.field_id], sex, templates)
    return line


def _number(
    page: _Page, line: float, row: SummaryRow, estimate: Estimate, sex: str, templates: Templates
) -> None:
    reference = row.ranges.get(sex)
    shown = float(estimate.text(estimate.value))
    verdict = _verdict(shown, reference, templates)
    colour = OUTSIDE if verdict else INK
    page.text(MARGIN, line, row.label)
    page.text(VALUE_RIGHT, line, f"{estimate.text(shown)} {estimate.unit}", colour, anchor="rs")
    interval = f"{estimate.text(estimate.lower)} to {estimate.text(estimate.upper)}"
    page.text(INTERVAL_LEFT, line, interval, QUIET)
    if reference is None:
        return
    _track(page, line - 6, estimate, reference, colour)
    page.text(RANGE_LEFT, line, f"{reference.lower:g} to {reference.upper:g}")
    page.text(TABLE_RIGHT, line, verdict, colour, anchor="rs")


def _verdict(value: float, reference: ReferenceRange | None, templates: Templates) -> str:
    standing = Standing.WITHIN if reference is None else reference.standing(value)
    text = templates.summary.text
    return {Standing.BELOW: text.below, Standing.ABOVE: text.above}.get(standing, "")


def _track(
    page: _Page, middle: float, estimate: Estimate, reference: ReferenceRange, colour: _Colour
) -> None:
    """Value and interval over the reference range, which takes the middle half of the track."""
    width, span = TRACK_RIGHT - TRACK_LEFT, reference.upper - reference.lower

    def place(value: float) -> float:
        share = 0.25 + 0.5 * (value - reference.lower) / span
        return TRACK_LEFT + width * min(1.0, max(0.0, share))

    page.box(place(reference.lower), middle - 7, place(reference.upper), middle + 7, NORMAL)
    page.box(place(estimate.lower), middle - 1, place(estimate.upper), middle + 1, colour)
    page.dot(place(estimate.value), middle, 4.5, colour)


def _diseases(
    page: _Page, line: float, diseases: Sequence[DiseaseProbability], templates: Templates
) -> None:
    """Probabilities in columns, read down."""
    page.text(MARGIN, line, templates.summary.text.screening_title, QUIET, SMALL)
    rows = -(-len(diseases) // DISEASE_COLUMNS)
    width = (TABLE_RIGHT - MARGIN) / DISEASE_COLUMNS
    for index, disease in enumerate(diseases):
        column, row = divmod(index, rows)
        left, below = MARGIN + column * width, line + DISEASE_HEIGHT * (row + 1)
        page.text(left, below, templates.concept(disease.field_id).code.meaning)
        page.text(left + width - 2 * MARGIN, below, disease.text(), anchor="rs")


def _pictures(page: _Page, top: float, cine: Cine, templates: Templates) -> None:
    """End-diastole above end-systole, and where the samples differ that they are the mean of."""
    text, systole = templates.summary.text, cine.end_systole
    milliseconds = f"{systole * cine.frame_time_ms:.0f}"
    pictures = [
        (cine.frames[0], text.end_diastole),
        (cine.frames[systole], text.end_systole.format(milliseconds=milliseconds)),
    ]
    if cine.spread is not None:
        caption = text.spread.format(samples=cine.spread.samples)
        pictures.append((_brightened(cine.spread), caption))
    side = PICTURE_EDGE if len(pictures) == 2 else SMALL_PICTURE_EDGE
    for pixels, caption in pictures:
        rows, columns = pixels.shape
        fit = side * page.scale / max(rows, columns)
        size = (round(columns * fit), round(rows * fit))
        picture = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        page.picture(PICTURE_LEFT, top, picture.convert("RGB"))
        top += side + 18
        page.text(PICTURE_LEFT, top - 3, caption, QUIET, SMALL)
        top += 8


def _brightened(spread: Spread) -> NDArray[np.uint8]:
    """The mean over the beat; white is WHITE_SPREAD grey levels and more."""
    levels = spread.grey_levels.mean(axis=0) * (255.0 / WHITE_SPREAD)
    pixels: NDArray[np.uint8] = np.minimum(np.rint(levels), 255.0).astype(np.uint8)
    return pixels


def _footer(page: _Page, line: float, prediction: Prediction, templates: Templates) -> None:
    """What was noticed, where the ranges are from, what answered, and what stands elsewhere."""
    text, model = templates.summary.text, prediction.model
    if prediction.findings:
        messages = " ".join(finding.message for finding in prediction.findings)
        line = page.paragraph(line, text.findings.format(messages=messages), LINES_OF_FINDINGS)
    shown = {row.field_id for row in templates.summary.rows}
    if any(estimate.field_id in shown for estimate in prediction.estimates):
        line = page.paragraph(line, text.range_statement, 1)
    further = sum(estimate.field_id not in shown for estimate in prediction.estimates)
    answered = [f"{model.label}, {model.how}, templates {templates.version}. {model.intended_use}"]
    if further:
        answered.append(text.further.format(count=further))
    page.paragraph(line, " ".join(answered), LINES_OF_MODEL)
