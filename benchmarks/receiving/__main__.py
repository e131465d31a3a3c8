"""`python -m benchmarks.receiving`: measure, write receiving.html and receiving.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.machine import Machine, this_machine
from benchmarks.receiving.driver import data_set_bytes
from benchmarks.receiving.plot import plot_rates
from benchmarks.receiving.rates import ASSOCIATIONS, OVER_ORTHANC, Rate, measure_rates, over
from benchmarks.receiving.receivers import PEERS
from node.cli.own_network import enter_own_network
from pipelines.cohort import page

HERE = Path(__file__).parents[1]
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option("--rounds", help="In which receivers take turns.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="Of storing, each turn.")] = 5.0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = HERE,
) -> None:
    """Measure how many C-STOREs a second are acknowledged, against Orthanc and DCMTK storescp."""
    console = Console(highlight=False, soft_wrap=True)
    if not enter_own_network():  # Orthanc listens on every address it finds
        console.print("needs a network of its own: run as root, or allow user namespaces")
        raise typer.Exit(1)
    machine = this_machine()
    rates = measure_rates(rounds, seconds, console.print)
    out.mkdir(parents=True, exist_ok=True)
    told = {"machine": asdict(machine), "rates": [asdict(each) for each in rates]}
    (out / "receiving.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "receiving.html").write_text(_render(machine, rates), encoding="utf-8")
    for row in _rows(rates):
        console.print("  ".join(row))
    console.print(str(out / "receiving.html"))


def _render(machine: Machine, rates: Sequence[Rate]) -> str:
    banner = (
        f"Others were working on this machine (load {machine.load_before:g} before the run): run "
        "it again when it is quiet."
        if machine.contended
        else "Figures of one machine and one run. Compare ratios; rates are of this machine."
    )
    parts = [
        page.heading("C-STOREs a second that were answered with success"),
        page.paragraph(
            f"One real 12-lead ECG of {data_set_bytes() / 1000:.0f} KB under ever new SOP Instance "
            f"UIDs, on loopback, TCP_NODELAY on both sides, PDUs of 128 KiB, receiver and sender "
            f"on the same {machine.cores} cores ({machine.processor}). All receivers run; they are "
            "asked in turns, by a sender whose PDUs are made beforehand. The node's receiving half "
            "is a process of its own; what it accepts is handed to the engine as far as that has "
            "room, and not worked on. Again: make bench-receiving."
        ),
        page.picture(plot_rates(rates), "rates by receiver"),
        page.table(
            (
                "receiver", "associations", "a second: median (rounds)", "the node is",
                "p50", "p95", "receiver's CPU", "sender's CPU",
            ),
            _rows(rates),
        ),
        page.heading("What each has done before it answers"),
        page.table(("receiver", ""), PEERS.items()),
        page.heading("Aim"),
        page.bullets(
            f"{each} association{'s' if each > 1 else ''}: {over(rates, 'Orthanc', each):.1f} "
            f"times Orthanc; aimed at: {OVER_ORTHANC:g} times"
            for each in ASSOCIATIONS
        ),
    ]  # fmt: skip
    return page.render_page("CardioNode: receiving ECGs", banner, parts)


def _rows(rates: Sequence[Rate]) -> Iterator[tuple[str, ...]]:
    for each in sorted(rates, key=lambda rate: rate.associations):
        rounds = f"{min(each.stored_a_second):.0f} to {max(each.stored_a_second):.0f}"
        yield (
            each.receiver,
            str(each.associations),
            f"{each.middle:.0f} ({rounds})",
            f"{over(rates, each.receiver, each.associations):.2f} times it",
            f"{each.p50_ms:.2f} ms",
            f"{each.p95_ms:.2f} ms",
            f"{each.cpu_ms:.2f} ms",
            f"{each.driver_cpu_ms:.2f} ms",
        )


if __name__ == "__main__":
    app()
