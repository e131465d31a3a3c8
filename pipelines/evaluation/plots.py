"""Plots of an evaluation, each a PNG as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.cohort import page
from pipelines.evaluation.bootstrap import Measured
from pipelines.evaluation.ecg import DiseaseFigures, FromScratch, PhenotypeFigures

FIRST, SECOND, QUIET = "#2f6f9f", "#c2683c", "#9aa5b1"
WORST: Final = -0.2
"""R2 from which on a phenotype is drawn; all are in the table."""


def plot_against_oracle(phenotypes: Sequence[PhenotypeFigures], model: str, oracle: str) -> bytes:
    """R2 of the model over that of the oracle, a point a phenotype."""
    pairs = [(each.scores[oracle].r2, each.scores[model].r2) for each in phenotypes]
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0.0, 1.0], [0.0, 1.0], color=QUIET, linewidth=1.0)
    _points(axes, [best.value for best, _ in pairs], [reached for _, reached in pairs])
    axes.set(xlabel="R2 of the oracle", ylabel="R2 of the model", xlim=(WORST, 1), ylim=(WORST, 1))
    _plain(axes)
    return page.png(figure)


def plot_calibration(diseases: Sequence[DiseaseFigures], model: str) -> bytes:
    """Observed over predicted share of each tenth of the subjects, one panel a disease."""
    columns = min(3, len(diseases))
    rows = -(-len(diseases) // columns)
    figure = Figure(figsize=(3.9 * columns, 3.3 * rows), layout="constrained")
    for place, disease in enumerate(diseases):
        bins = disease.screening[model].bins
        axes = figure.add_subplot(rows, columns, place + 1)
        top = 1.05 * max(max(each.predicted, each.observed.high) for each in bins)
        axes.plot([0.0, top], [0.0, top], color=QUIET, linewidth=1.0)
        _points(axes, [each.predicted for each in bins], [each.observed for each in bins])
        axes.set(xlabel="predicted", ylabel="observed", xlim=(0, top), ylim=(0, top))
        axes.set_title(disease.field_id, fontsize=9)
        _plain(axes)
    return page.png(figure)


def plot_from_scratch(rows: Sequence[FromScratch], model: str) -> bytes:
    """Sum of R2 over the number of labelled subjects, from both starts."""
    figure = Figure(figsize=(5.6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    subjects = [each.subjects for each in rows]
    for label, colour, sums in (
        ("from the aligned encoder", FIRST, [each.aligned[model] for each in rows]),
        ("from scratch", SECOND, [each.scratch[model] for each in rows]),
    ):
        _points(axes, subjects, sums, colour=colour, label=label, line="-")
    axes.set(xscale="log", xlabel="labelled subjects", ylabel="sum of R2")
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    return page.png(figure)


def _points(
    axes: Axes,
    x: Sequence[float],
    y: Sequence[Measured],
    *,
    colour: str = FIRST,
    label: str | None = None,
    line: str = "",
) -> None:
    """With their intervals; what cannot be computed is not drawn."""
    shown = [(at, each) for at, each in zip(x, y, strict=True) if np.isfinite(each.value)]
    values = [each.value for _, each in shown]
    reach = np.array([[each.value - each.low, each.high - each.value] for _, each in shown])
    axes.errorbar(
        [at for at, _ in shown], values, np.nan_to_num(np.maximum(reach, 0.0)).reshape(-1, 2).T,
        fmt="o", linestyle=line, markersize=3.5, color=colour, elinewidth=0.8, label=label,
    )  # fmt: skip


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.spines[["right", "top"]].set_visible(False)
