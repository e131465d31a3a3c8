"""What the report says of drawn cines: parts of a page made of their figures and a few pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from pipelines.cohort import page
from pipelines.evaluation.cine import MEASURES, MODES, REGIONS, CineFigures, Gallery
from pipelines.evaluation.ecg_section import text_of
from pipelines.evaluation.fusion import FusionFigures

TITLES: Final = {
    "mean_image": "mean image of the training cines",
    "mean_image_redrawn": "mean image, through the autoencoder",
    "neighbours": "mean of the nearest by age, sex and build",
    "model_mean_shuffled": "model, mean of samples, another's ECG",
    "model_mean": "model, mean of samples, own ECG",
    "ideal_mean_shuffled": "ideal sampler, mean, another's ECG",
    "ideal_mean": "ideal sampler, mean, own ECG",
    "model_sample_shuffled": "model, one sample, another's ECG",
    "model_sample": "model, one sample, own ECG",
    "ideal_sample_shuffled": "ideal sampler, one sample, another's ECG",
    "ideal_sample": "ideal sampler, one sample, own ECG",
    "reconstruction": "the own cine, through the autoencoder",
}
"""Row -> how the report calls it, in the report's order."""
UNITS: Final = {"ssim": "SSIM", "psnr_db": "PSNR (dB)"}
DIGITS: Final = {"ssim": 3, "psnr_db": 2}
READINGS: Final = {
    "scans": "meter on the true cine",
    "network": "ECG network, no cine",
    "mean": "meter on the mean of the samples",
    "samples": "mean of the meter over four samples",
}
SOURCES: Final = {
    "halves": "one half of the true cines from the other",
    "reconstruction": "true cines through the autoencoder",
    "ideal_sample": "the ideal sampler's samples",
    "model_sample": "the model's samples",
    "model_mean": "means of the model's samples",
}
CONTROL: Final = (
    "Nobody's age, sex or size is told, neither to the model nor to the ideal sampler: what a cine "
    "for the own ECG has over one for another's is what the ECG says of the heart. The ideal "
    "sampler weighs simulated hearts by the likelihood of the true electrical traits and scans the "
    "likely ones anew. Where the heart lies in the picture, how it is lit and the noise are the "
    "scan's and in no ECG: they bound every row but the reconstruction."
)
FUSED: Final = (
    "The same network twice, on the tokens of the ECG and of the cine that is shown for it; to the "
    "control every cine is the mean one. A drawn cine knows nothing that the ECG did not say: a "
    "difference is what reading a picture makes easier to learn."
)
FRAME_MS: Final = 40
SHADES: Final = {"gray": 1.0, "magma": 0.25}
"""Of cines and of their spread -> the brightest value."""


def cine_parts(figures: CineFigures | None, gallery: Gallery | None) -> list[str]:
    """HTML of all sections."""
    title = page.heading("Cines: how near to the own heart")
    if figures is None or gallery is None:
        return [title, page.paragraph("Not measured: too few test subjects have a cine.")]
    told = (
        f"{figures.subjects} test subjects, {figures.samples} samples each, nuisance "
        f"{figures.nuisance}. Region heart: rows {figures.region[0]} to {figures.region[1]}, "
        f"columns {figures.region[2]} to {figures.region[3]}."
    )
    return [
        title,
        page.paragraph(told),
        page.paragraph(CONTROL),
        page.table(("", *_columns()), _score_rows(figures)),
        page.heading("Cines: what the ECG gives them"),
        page.table(("", *_columns()), _gain_rows(figures)),
        page.heading("Cines: sharp, steady, unlike each other"),
        page.table(("", ""), _quality_rows(figures)),
        *_volumes(figures),
        page.heading("Cines to look at"),
        page.paragraph("From above: true cine, one sample, mean of the samples."),
        page.picture(animation(gallery), "cines of eight test subjects, moving", "webp"),
        page.paragraph(
            "Below each subject, how unlike the samples are over the beat: black where they agree, "
            f"brightest where their standard deviation is {SHADES['magma']:g} of the grey scale."
        ),
        page.picture(sheet(gallery), "end-diastole, in between and end-systole; spread"),
    ]


def fusion_parts(figures: Sequence[FusionFigures]) -> list[str]:
    """HTML of the section on ECG and drawn cine together."""
    title = page.heading("Does the drawn cine add to its ECG? AUROC of disease screens")
    if not figures:
        return [title, page.paragraph("Not measured: cardionets compare has trained no fusion.")]
    rows = [
        (
            each.name, f"{each.positives} of {each.subjects}", text_of(each.ecg_and_cine),
            text_of(each.ecg_alone), text_of(each.gain),
        )
        for each in figures
    ]  # fmt: skip
    head = ("", "positives", "ECG + drawn cine", "ECG, every cine alike", "difference")
    return [title, page.paragraph(FUSED), page.table(head, rows)]


def animation(gallery: Gallery) -> bytes:
    """WebP: a column a subject; true cine, sample and mean below each other."""
    rows = [np.concatenate(list(of), axis=2) for of in (gallery.true, gallery.sample, gallery.mean)]
    film = np.rint(255.0 * np.concatenate(rows, axis=1)).astype(np.uint8)  # (F, 3H, kW)
    frames = [Image.fromarray(frame) for frame in film]
    encoded = BytesIO()
    frames[0].save(
        encoded, "WEBP", save_all=True, append_images=frames[1:], duration=FRAME_MS, loop=0,
        quality=70,
    )  # fmt: skip
    return encoded.getvalue()


def sheet(gallery: Gallery) -> bytes:
    """PNG: three moments of each true cine, sample and mean, and the samples' spread.

    End-systole is the true one's.
    """
    columns = [_column(gallery, subject) for subject in range(len(gallery.true))]
    figure = Figure(figsize=(1.25 * len(columns), 12.8), layout="constrained")
    grid = figure.subplots(len(columns[0]), len(columns), squeeze=False)
    for axes, pictures in zip(grid.T, columns, strict=True):
        for one, (picture, shades) in zip(axes, pictures.values(), strict=True):
            one.imshow(picture, cmap=shades, vmin=0.0, vmax=SHADES[shades])
            one.set(xticks=[], yticks=[])
    for one, name in zip(grid[:, 0], columns[0], strict=True):
        one.set_ylabel(name, fontsize=8)
    return page.png(figure)


def _column(gallery: Gallery, subject: int) -> dict[str, tuple[NDArray[np.float32], str]]:
    """Name -> picture and its shades, from above."""
    systole = _systole(gallery.true[subject])
    moments = {"ED": 0, "mid": systole // 2, "ES": systole}
    kinds = {"true": gallery.true, "sample": gallery.sample, "mean": gallery.mean}
    shown = {
        f"{kind}, {moment}": (cines[subject, frame], "gray")
        for kind, cines in kinds.items()
        for moment, frame in moments.items()
    }
    return shown | {"spread": (gallery.spread[subject], "magma")}


def _systole(cine: NDArray[np.float32]) -> int:
    """The frame that differs most from the first."""
    return int(np.abs(cine - cine[0]).mean(axis=(1, 2)).argmax())


def _columns() -> list[str]:
    return [f"{UNITS[of]}, {region}" for region in REGIONS for of in MEASURES]


def _score_rows(figures: CineFigures) -> Iterable[tuple[str, ...]]:
    for name, title in TITLES.items():
        if name in figures.scores:
            of_row = figures.scores[name]
            yield title, *(text_of(of_row[r][m], DIGITS[m]) for r in REGIONS for m in MEASURES)


def _gain_rows(figures: CineFigures) -> Iterable[tuple[str, ...]]:
    for mode in MODES:
        gained = figures.gained[mode]
        yield (
            f"{mode}: own less another's ECG",
            *(text_of(gained[r][m], DIGITS[m]) for r in REGIONS for m in MEASURES),
        )
        if mode in figures.share_of_ideal:
            share = figures.share_of_ideal[mode]
            yield (
                f"{mode}: over the ideal sampler's",
                *(text_of(share[r][m], 2) for r in REGIONS for m in MEASURES),
            )
    above = figures.above_mean_image
    yield (
        "mean: less the mean image, through the autoencoder",
        *(text_of(above[r][m], DIGITS[m]) for r in REGIONS for m in MEASURES),
    )


def _quality_rows(figures: CineFigures) -> Iterable[tuple[str, str]]:
    yield "sharpness of samples over that of reconstructions", text_of(figures.sharpness, 2)
    yield "change of speed over time, likewise", text_of(figures.steadiness, 2)
    if figures.diversity is not None:
        yield "diversity of samples over the ideal sampler's", text_of(figures.diversity, 2)
    if figures.effective_hearts is not None:
        yield "hearts of the ideal sampler, to a subject", f"{figures.effective_hearts:.0f}"
    for name, title in SOURCES.items():
        if name in figures.frechet:
            yield f"Fréchet distance: {title}", f"{figures.frechet[name]:.4g}"


def _volumes(figures: CineFigures) -> list[str]:
    title = page.heading("Left ventricle measured on the pixels: squared correlation with truth")
    if not figures.volumes:
        return [title, page.paragraph("Not measured: the configuration has no stage meter.")]
    rows = [
        (
            each.name,
            *(text_of(each.by[name], 2) for name in READINGS),
            *(text_of(of, 2) for of in each.share_of_network.values()),
        )
        for each in figures.volumes
    ]
    head = ("", *READINGS.values(), "mean over network", "samples over network")
    return [title, page.table(head, rows)]
