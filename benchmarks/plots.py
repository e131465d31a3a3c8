"""Plots of the report, each a PNG as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.graphs import GraphCost
from benchmarks.roofline import Roofline
from pipelines.cohort import page

OURS, QUIET = "#2f6f9f", "#9aa5b1"
BARS: Final = (OURS, "#7fb0d3", "#c2683c", "#e3ab85")
AIM_OF_PEAK: Final = 0.6
AIM_OVER_TORCH: Final = 2.0


def plot_parts(parts: Mapping[str, float]) -> bytes:
    """Milliseconds of each part, one bar laid end to end."""
    figure = Figure(figsize=(9.0, 2.2), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["tab20"](np.linspace(0.0, 1.0, len(parts), endpoint=False))
    left = 0.0
    for (part, seconds), colour in zip(parts.items(), colours, strict=True):
        width = 1000.0 * seconds
        axes.barh(0, width, left=left, color=colour, label=f"{part} {width:.0f}")
        left += width
    axes.set(xlabel="ms", yticks=[], xlim=(0.0, left))
    axes.legend(fontsize=7, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    _plain(axes)
    return page.png(figure)


def plot_graphs(graphs: Sequence[GraphCost]) -> bytes:
    """Times the speed of torch eager, by runtime and precision."""
    figure = Figure(figsize=(7.6, 3.2), layout="constrained")
    axes = figure.add_subplot()
    bars = {
        name: [each.eager_s / each.ours_s[name] for each in graphs] for name in graphs[0].ours_s
    }
    wide = 0.8 / len(bars)
    for place, (name, gains) in enumerate(bars.items()):
        at = [index + wide * (place - 0.5 * (len(bars) - 1)) for index in range(len(graphs))]
        axes.bar(at, gains, width=0.92 * wide, color=BARS[place % len(BARS)], label=name)
    axes.axhline(1.0, color="black", linewidth=0.9)
    axes.axhline(AIM_OVER_TORCH, color=QUIET, linewidth=0.9, linestyle="--")
    axes.set(ylabel="times torch eager, one thread")
    axes.set_xticks(range(len(graphs)), [each.graph for each in graphs])
    axes.legend(fontsize=8, frameon=False)
    _plain(axes)
    return page.png(figure)


def plot_roofline(roofline: Roofline) -> bytes:
    """Operations a second over operations a byte, under the roof."""
    figure = Figure(figsize=(6.8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    intensities = [roofline.intensity(each) for each in roofline.graphs]
    span = np.geomspace(min(0.5, *intensities), 2.0 * max(intensities), 200)
    roof = np.minimum(roofline.peak_flop_s, span * roofline.bandwidth_byte_s) / 1e9
    axes.plot(span, roof, color="black", linewidth=1.2)
    axes.plot(span, AIM_OF_PEAK * roof, color=QUIET, linewidth=0.9, linestyle="--")
    for each, at in zip(roofline.graphs, intensities, strict=True):
        reached = each.flop / each.seconds / 1e9
        axes.plot(at, reached, "o", markersize=5, color=OURS)
        axes.annotate(each.graph, (at, reached), xytext=(5, -9), textcoords="offset points",
                      fontsize=7)  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="FLOP / byte", ylabel="GFLOP/s, one thread")
    _plain(axes)
    return page.png(figure)


def plot_growth(curves: Mapping[str, Mapping[int, float]]) -> bytes:
    """A panel a curve: seconds over count, both logarithmic."""
    figure = Figure(figsize=(2.7 * len(curves), 2.6), layout="constrained")
    for place, (title, curve) in enumerate(curves.items()):
        axes = figure.add_subplot(1, len(curves), place + 1)
        axes.plot(list(curve), list(curve.values()), "o-", color=OURS, markersize=3.5)
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel(title)
        axes.set_ylabel("s" if place == 0 else "")
        _plain(axes)
    return page.png(figure)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=8)
    axes.xaxis.label.set_fontsize(9)
    axes.yaxis.label.set_fontsize(9)
    axes.spines[["right", "top"]].set_visible(False)
