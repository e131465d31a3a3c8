"""All that one run measures, and how it is kept."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.ecgs import simulated_ecgs
from benchmarks.effort import FULL, Effort
from benchmarks.graphs import GraphCost, measure_graphs
from benchmarks.growth import Growth, measure_growth
from benchmarks.machine import Machine, this_machine
from benchmarks.networks import Networks
from benchmarks.published import PublishedProcedure, measure_published
from benchmarks.quality import Quality, read_quality
from benchmarks.roofline import DECODED, Roofline, measure_roofline
from benchmarks.runtimes import RuntimeFigures, measure_runtimes
from benchmarks.shipped import NAME, Served, shipped_bundle
from benchmarks.timing import Said
from benchmarks.whole_answer import WholeAnswer, measure_whole_answer

ECGS: Final = 8
STEPS: Final = 24
"""Of the progress bar, at most."""
DIGITS: Final = 5
"""Of a figure in figures.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    machine: Machine
    measured_at: str
    bundle: str
    """With its digest."""
    trained: bool
    """Whether the networks in torch are those of a finished training; else their weights are
    random."""
    quick: bool
    took_s: float
    whole: WholeAnswer
    published: PublishedProcedure
    graphs: tuple[GraphCost, ...]
    roofline: Roofline
    growth: Growth
    runtimes: tuple[RuntimeFigures, ...]
    quality: Quality | None
    """Of the cines, measured apart."""


def measure(effort: Effort, runs: Path | None, said: Said) -> Figures:
    """One after the other: nothing else may work meanwhile."""
    machine, began, bundle = this_machine(), time.monotonic(), shipped_bundle()
    shipped, cores = Networks.read(NAME, runs=runs), machine.cores
    base = Networks.read("base", decoded=DECODED) if effort.published_size else None
    said("simulating ECGs")
    ecgs = simulated_ecgs(ECGS, Served.with_threads(cores).ask)
    said("whole answer")
    whole = measure_whole_answer(shipped, ecgs, cores, effort)
    said("published procedure")
    published = measure_published(shipped, ecgs, cores, effort)
    graphs = measure_graphs(shipped, base, effort, said)
    roofline = measure_roofline(shipped, base, effort, said)
    runtimes = measure_runtimes(ecgs, cores, effort, said)
    growth = measure_growth(shipped, ecgs, cores, effort, said)
    return Figures(
        machine=machine,
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        bundle=f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.digest[:12]})",
        trained=runs is not None,
        quick=effort is not FULL,
        took_s=time.monotonic() - began,
        whole=whole,
        published=published,
        graphs=graphs,
        roofline=roofline,
        growth=growth,
        runtimes=runtimes,
        quality=read_quality(),
    )


def write_figures(figures: Figures, file: Path) -> None:
    """As JSON."""
    text = json.dumps(_rounded(asdict(figures)), indent=2, allow_nan=False)
    file.write_text(text + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
