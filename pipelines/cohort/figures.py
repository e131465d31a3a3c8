"""Pictures of a simulated cohort, each a PNG as bytes: distributions, ECGs, cines, grey levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from node.ecg.drawing import draw_ecg
from pipelines.cohort import page
from pipelines.cohort.beat import move_chambers
from pipelines.cohort.cine import render_cine
from pipelines.cohort.electrocardiograph import SAMPLING_FREQUENCY_HZ
from pipelines.cohort.population import Population
from pipelines.cohort.targets import NAMES
from pipelines.cohort.torso import simulate_ecg

MEN, WOMEN, REAL = "#2f6f9f", "#c2683c", "#6d6d6d"
ECG_WIDTH: Final = 1120
"""Pixels of an ECG sheet in the page: all of it stays readable."""
GREY_BINS: Final = np.arange(0, 257, 4)

Frames = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""End-diastole, in between, end-systole."""


def draw_distributions(
    columns: Mapping[str, NDArray[np.float64]], male: NDArray[np.bool_]
) -> bytes:
    """One small histogram a trait, men and women apart."""
    rows = -(-len(columns) // 4)
    figure = Figure(figsize=(12.0, 2.3 * rows), layout="constrained")
    for place, (trait, values) in enumerate(columns.items()):
        axes = figure.add_subplot(rows, 4, place + 1)
        finite = values[np.isfinite(values)]
        low, high = np.quantile(finite, [0.002, 0.998])
        bins = np.linspace(low, high, 40).tolist()
        for group, colour, label in ((male, MEN, "men"), (~male, WOMEN, "women")):
            axes.hist(
                values[group], bins=bins, histtype="stepfilled", color=colour, alpha=0.45,
                density=True, label=label,
            )  # fmt: skip
        axes.set_title(NAMES[trait], fontsize=9)
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
        axes.spines[["left", "right", "top"]].set_visible(False)
        if place == 0:
            axes.legend(fontsize=8, frameon=False)
    return page.png(figure)


def draw_example(population: Population, index: int, *, seed: int, title: str) -> bytes:
    """The 12-lead ECG of one subject as its device stored it, on ECG paper."""
    record = ECGRecord(
        samples=simulate_ecg(population, index, seed=seed),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=SAMPLING_FREQUENCY_HZ,
    )
    sheet = Image.open(BytesIO(draw_ecg(record, title=title, footer="simulated")))
    height = round(sheet.height * ECG_WIDTH / sheet.width)
    small = sheet.resize((ECG_WIDTH, height), Image.Resampling.LANCZOS).quantize(64)
    encoded = BytesIO()
    small.save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def pick_frames(population: Population, index: int, *, seed: int) -> Frames:
    """Three frames of a subject's cine, end-systole where its left ventricle is smallest."""
    cine = render_cine(population, index, seed=seed)
    beat = move_chambers(population, index, len(cine))
    systole = int((beat.lv_length * beat.lv_radius**2).argmin())
    return cine[0], cine[systole // 2], cine[systole]


def pick_real_frames(cine: NDArray[np.uint8]) -> Frames:
    """Three frames of a real cine, end-systole where the image differs most from its first."""
    apart = np.abs(cine.astype(np.float64) - cine[0]).mean(axis=(1, 2))
    systole = int(apart.argmax())
    return cine[0], cine[systole // 2], cine[systole]


def draw_cines(columns: Sequence[tuple[str, Frames]]) -> bytes:
    """A sheet of one column a subject: end-diastole, in between, end-systole."""
    figure = Figure(figsize=(1.55 * len(columns), 5.0), layout="constrained", facecolor="white")
    for place, (title, frames) in enumerate(columns):
        for row, (frame, moment) in enumerate(
            zip(frames, ("end-diastole", "between", "end-systole"), strict=True)
        ):
            axes = figure.add_subplot(3, len(columns), row * len(columns) + place + 1)
            axes.imshow(frame, cmap="gray", vmin=0, vmax=255, interpolation="bilinear")
            axes.set_xticks([])
            axes.set_yticks([])
            if place == 0:
                axes.set_ylabel(moment, fontsize=8)
            if row == 0:
                axes.set_title(title, fontsize=8)
    return page.png(figure)


def draw_grey_levels(simulated: NDArray[np.uint8], real: NDArray[np.uint8] | None) -> bytes:
    """Histogram of grey levels; real ones beside it where there are some."""
    figure = Figure(figsize=(7.0, 2.8), layout="constrained")
    axes = figure.add_subplot()
    groups = [(simulated, MEN, "simulated, four-chamber")]
    if real is not None:
        groups.append((real, REAL, "real"))
    for pixels, colour, label in groups:
        axes.hist(
            pixels.ravel(), bins=GREY_BINS.tolist(), density=True, histtype="step", color=colour,
            linewidth=1.5, label=label,
        )  # fmt: skip
    axes.set_xlabel("grey level", fontsize=9)
    axes.set_yticks([])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.legend(fontsize=9, frameon=False)
    return page.png(figure)
