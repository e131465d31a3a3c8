"""`python -m benchmarks.engine`: measure, write engine.html and engine.json."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from rich.console import Console

from benchmarks.engine.trials import MakeUrl, Overhead, Scale, measure_overhead, measure_scale
from benchmarks.engine.worker import RESULTS
from benchmarks.machine import Machine, this_machine
from benchmarks.postgresql import server
from node.store.database import sqlite_url
from pipelines.cohort import page

HERE = Path(__file__).parents[1]
WORKERS = (1, 2, 4)
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    ecgs: Annotated[int, typer.Option("--ecgs", help="Of each trial.")] = 400,
    sleep_s: Annotated[float, typer.Option("--sleep", help="In place of inference.")] = 0.2,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = HERE,
    quick: Annotated[bool, typer.Option("--quick", help="Only see that it runs.")] = False,
) -> None:
    """Measure what the engine costs an ECG, and what more hosts are worth, without inference."""
    console = Console(highlight=False, soft_wrap=True)
    machine = this_machine()
    ecgs, each = (12, 4) if quick else (ecgs, ecgs // 4)
    with _sqlite() as in_file:
        overheads = [measure_overhead("SQLite", in_file, ecgs)]
    with _postgresql() as on_server:
        overheads.append(measure_overhead("PostgreSQL", on_server, ecgs))
        scales = measure_scale(on_server, WORKERS, ecgs_each=each, sleep_s=sleep_s)
    out.mkdir(parents=True, exist_ok=True)
    told = {
        "machine": asdict(machine),
        "overhead": [asdict(each) | {"engine_ms": each.engine_ms} for each in overheads],
        "scale": [asdict(each) | {"efficiency": _efficiency(each, scales)} for each in scales],
    }
    (out / "engine.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    html = _render(machine, overheads, scales, sleep_s, quick)
    (out / "engine.html").write_text(html, encoding="utf-8")
    for row in (*_cost_rows(overheads), *_scale_rows(scales)):
        console.print("  ".join(row))
    console.print(str(out / "engine.html"))


@contextmanager
def _sqlite() -> Iterator[MakeUrl]:
    numbers = count(1)
    with tempfile.TemporaryDirectory() as name:
        yield lambda: sqlite_url(Path(name) / f"node{next(numbers)}.db")


@contextmanager
def _postgresql() -> Iterator[MakeUrl]:
    numbers = count(1)
    with server() as running:

        def make() -> str:
            name = f"node{next(numbers)}"
            url = running.url.format(name="postgres")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name}")
            return running.url.format(name=name)

        yield make


def _efficiency(scale: Scale, scales: Sequence[Scale]) -> float:
    """The rate over that of so many times one host."""
    return scale.a_second / (scale.workers * scales[0].a_second)


def _render(
    machine: Machine,
    overheads: Sequence[Overhead],
    scales: Sequence[Scale],
    sleep_s: float,
    quick: bool,
) -> str:
    if quick:
        banner = "A trial that it runs: figures of nothing."
    elif machine.contended:
        banner = (
            f"Others were working on this machine (load {machine.load_before:g} before the run): "
            "run it again when it is quiet."
        )
    else:
        banner = "Figures of one machine and one run. Compare ratios; times are of this machine."
    parts = [
        page.paragraph(
            f"No inference, no network: a job owes {len(RESULTS)} results, and each destination "
            f"acknowledges at once. {machine.cores} cores ({machine.processor}), the database's "
            "too. Again: make bench-engine."
        ),
        page.heading("What the engine costs an ECG"),
        page.paragraph(
            "From a backlog to the last result acknowledged, beside the same rows written in the "
            "same transactions by a plain loop: what is more is taking turns, threads and DBOS."
        ),
        page.table(
            ("database", "ECGs", "with the engine", "rows alone", "the engine", "times"),
            _cost_rows(overheads),
        ),
        page.heading("What more hosts are worth"),
        page.paragraph(
            f"Hosts that infer, one job at a time, and sleep {1000 * sleep_s:.0f} ms for each: "
            "they share the database alone. Efficiency is the rate over that of as many times one."
        ),
        page.table(("hosts", "ECGs", "a second", "efficiency"), _scale_rows(scales)),
    ]
    return page.render_page("CardioNode: the engine", banner, parts)


def _cost_rows(overheads: Sequence[Overhead]) -> Iterator[tuple[str, ...]]:
    for each in overheads:
        yield (
            each.database,
            str(each.ecgs),
            f"{each.with_engine_ms:.1f} ms",
            f"{each.rows_alone_ms:.1f} ms",
            f"{each.engine_ms:.1f} ms",
            f"{each.with_engine_ms / each.rows_alone_ms:.2f}",
        )


def _scale_rows(scales: Sequence[Scale]) -> Iterator[tuple[str, ...]]:
    for each in scales:
        yield (
            str(each.workers),
            str(each.ecgs),
            f"{each.a_second:.2f}",
            f"{_efficiency(each, scales):.3f}",
        )


if __name__ == "__main__":
    app()
