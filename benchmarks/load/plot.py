"""Answers and memory over the time of a run."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.load.runs import Run
from pipelines.cohort import page


def plot_answers(runs: Sequence[Run]) -> bytes:
    """A PNG: for each run, how long each ECG waited for its answer, and the memory held."""
    figure = Figure(figsize=(3.0 * len(runs), 4.2), layout="constrained")
    for at, run in enumerate(runs):
        began_s = run.held[0].at_s
        waits = figure.add_subplot(2, len(runs), at + 1)
        waits.plot(
            [each.due_s - began_s for each in run.sent], run.waits_s, ".", color="#2f6f9f", ms=4
        )
        waits.set_title(run.name, size=9)
        waits.set_ylim(bottom=0)
        held = figure.add_subplot(2, len(runs), len(runs) + at + 1, sharex=waits)
        held.plot(
            [each.at_s - began_s for each in run.held],
            [each.memory_mb for each in run.held],
            color="#8b95a1",
        )
        held.set_ylim(bottom=0)
        held.set_xlabel("s")
        if at == 0:
            waits.set_ylabel("answered after s")
            held.set_ylabel("memory, MB")
        for axes in (waits, held):
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
    return page.png(figure)
