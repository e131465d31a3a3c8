"""Rates as bars, with the spread of the rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from benchmarks.receiving.rates import ASSOCIATIONS, Rate
from benchmarks.receiving.receivers import NODE
from pipelines.cohort import page

OURS: Final = ("#2f6f9f", "#7fb0d3")
THEIRS: Final = ("#8b95a1", "#c3cad2")
_WIDE: Final = 0.38


def plot_rates(rates: Sequence[Rate]) -> bytes:
    """A PNG."""
    figure = Figure(figsize=(9.0, 3.4), layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(each.receiver for each in rates))
    for each in rates:
        turn = ASSOCIATIONS.index(each.associations)
        at = names.index(each.receiver) + _WIDE * (turn - 0.5)
        colour = (OURS if each.receiver == NODE else THEIRS)[turn]
        axes.bar(at, each.middle, width=0.95 * _WIDE, color=colour)
        axes.vlines(at, min(each.stored_a_second), max(each.stored_a_second), color="#1d2733")
        axes.text(at, each.middle, f" {each.middle:.0f}", ha="left", va="bottom", fontsize=8)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="C-STOREs answered a second")
    axes.set_title(
        f"left {ASSOCIATIONS[0]}, right {ASSOCIATIONS[1]} associations; lines: all rounds", size=9
    )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return page.png(figure)
