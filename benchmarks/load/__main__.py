"""`python -m benchmarks.load`: measure, write load.html and load.json."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.ecgs import SEED, simulated_ecgs
from benchmarks.load.carts import Carts, arrivals
from benchmarks.load.forecast import foretold, measured_host, needs
from benchmarks.load.node_log import NodeLog
from benchmarks.load.report import render
from benchmarks.load.runs import Loader, Percentiles, Run, percentiles
from benchmarks.machine import this_machine
from benchmarks.shipped import Served
from node.cli.orthanc import PROGRAM
from node.cli.own_network import enter_own_network
from node.cli.surroundings import PacsKind, serving, surroundings
from node.domain.host import HostRole

HERE = Path(__file__).parents[1]
SHARES = (0.25, 0.5, 0.8, 1.0)
ECGS = 8
"""Different ones."""
SPARE = 1.2
"""Times the disk that the ECGs of a run should take."""
PACS_KEEPS_MB = 4000
"""Of the results, so that a long run fills one disk, not two."""
ALONE_S = 600.0
"""Of the busiest share, what a node that receives alone is sent too."""
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    minutes: Annotated[float, typer.Option("--minutes", help="Of each share.")] = 3.0,
    share: Annotated[
        list[float] | None, typer.Option("--share", help="Of the capacity, for several repeat it.")
    ] = None,
    singly: Annotated[int, typer.Option("--singly", help="ECGs sent one after the other.")] = 60,
    unpaused: Annotated[
        int, typer.Option("--unpaused", min=20, help="ECGs sent to find the capacity.")
    ] = 160,
    morning: Annotated[
        bool, typer.Option("--morning", help="Twice the rate in the middle, few at the ends.")
    ] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = HERE,
    seed: Annotated[int, typer.Option("--seed", help="Of the carts' chance.")] = SEED,
) -> None:
    """Measure how long an ECG waits for its answer at shares of what one node bears."""
    console = Console(highlight=False, soft_wrap=True)
    if not PROGRAM.exists() or not enter_own_network():  # it listens on every address it finds
        console.print("needs Orthanc (make peers), and the right to make a network for it")
        raise typer.Exit(1)
    machine = this_machine()
    ecgs = simulated_ecgs(ECGS, Served.with_threads(machine.cores).ask)
    with (
        tempfile.TemporaryDirectory() as folder,
        surroundings(PacsKind.ORTHANC, Path(folder), pacs_keeps_mb=PACS_KEEPS_MB) as (_, _, node),
    ):
        log, carts = NodeLog(Path(folder) / "node.log"), Carts(node.ports["dicom"], ecgs)
        loader = Loader(pid=node.pid, log=log, carts=carts, say=console.print)
        loader.one_at_a_time(2)  # the first of anything is slower
        quiet, full = loader.one_at_a_time(singly), loader.without_pause(unpaused)
        shares = share or SHARES
        kept = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file())
        an_ecg = kept / (len(quiet.sent) + len(full.sent))
        to_send = full.ecgs_a_second * 60 * minutes * sum(shares)
        wanted = an_ecg * to_send * SPARE + PACS_KEEPS_MB * 1e6
        left = shutil.disk_usage(folder).free
        if wanted > left:
            console.print(
                f"takes {wanted / 1e9:.0f} GB of disk in {folder}, there are {left / 1e9:.0f}"
            )
            raise typer.Exit(1)
        runs = [quiet, full] + [
            loader.at(each, full.ecgs_a_second, 60 * minutes, seed=seed + at, is_morning=morning)
            for at, each in enumerate(shares)
        ]
    at = int(np.argmax(shares))
    due_s = arrivals(
        shares[at] * full.ecgs_a_second, 60 * minutes, seed=seed + at, is_morning=morning
    )
    alone_ms = _receiving_alone(ecgs, [each for each in due_s if each < ALONE_S] or [0.0])
    console.print(f"the same carts where nothing is inferred: C-STORE p95 {alone_ms[1]:.0f} ms")
    out.mkdir(parents=True, exist_ok=True)
    host = measured_host(quiet, full)
    needed = list(needs(host, seed=seed))
    told = {
        "machine": asdict(machine),
        "seed": seed,
        "runs": [_told(each) for each in runs],
        "foretold_s": [foretold(each, host) for each in runs[2:]],
        "alone_ms": alone_ms,
        "needs": [asdict(each) for each in needed],
    }
    (out / "load.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "load.html").write_text(
        render(machine, runs, alone_ms, host, needed, morning), encoding="utf-8"
    )
    console.print(str(out / "load.html"))


def _receiving_alone(ecgs: Sequence[bytes], due_s: Sequence[float]) -> Percentiles:
    """What a C-STORE takes at those moments at a node that does nothing but receive, in ms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = folder / "node.toml"
        configuration.write_text('dicom.port = 0\nhl7.port = 0\nweb.port = 0\nlog.form = "json"\n')
        log = folder / "node.log"
        with serving(configuration, folder / "home", log, role=HostRole.RECEIVE) as node:
            carts = Carts(node.ports["dicom"], ecgs)
            carts.send([0.0, 0.0])  # the first of anything is slower
            sent = carts.send(due_s)
    return percentiles(1e3 * (each.acknowledged_s - each.due_s) for each in sent)


def _told(run: Run) -> dict[str, object]:
    return {
        "name": run.name,
        "ecgs": len(run.sent),
        "ecgs_a_second": run.ecgs_a_second,
        "store_ms": run.store_ms,
        "answer_s": run.answer_s,
        "most_waiting": run.most_waiting,
        "cores": run.cores,
        "quarters": run.quarters,
    }


if __name__ == "__main__":
    app()
