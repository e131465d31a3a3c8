"""`python -m benchmarks.messages`: measure, write messages.html and messages.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.machine import Machine, this_machine
from benchmarks.messages.driver import order
from benchmarks.messages.rates import CONNECTIONS, RECEIVERS, SENDERS, Rate, measure_rates, over
from benchmarks.messages.sending import result
from pipelines.cohort import page

HERE = Path(__file__).parents[1]
HEAD = (
    "connections", "a second: median (rounds)", "the node is", "p50", "p95", "sender's CPU",
    "receiver's CPU",
)  # fmt: skip
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    rounds: Annotated[int, typer.Option("--rounds", help="In which all take turns.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", help="Of messages, each turn.")] = 4.0,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = HERE,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs: one round of 0.3 s.")
    ] = False,
) -> None:
    """Measure how many HL7 messages a second are acknowledged, in and out, against libraries."""
    console = Console(highlight=False, soft_wrap=True)
    machine = this_machine()
    if quick:
        rounds, seconds = 1, 0.3
    rates = measure_rates(rounds, seconds, console.print)
    out.mkdir(parents=True, exist_ok=True)
    told = {"machine": asdict(machine), "rates": [asdict(each) for each in rates]}
    (out / "messages.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    (out / "messages.html").write_text(_render(machine, rates, quick), encoding="utf-8")
    for is_sender in (False, True):
        for row in _rows(rates, is_sender):
            console.print("  ".join(("sends" if is_sender else "receives", *row)))
    console.print(str(out / "messages.html"))


def _render(machine: Machine, rates: Sequence[Rate], quick: bool) -> str:
    if quick:
        banner = "A trial that it runs: figures of nothing."
    elif machine.contended:
        banner = (
            f"Others were working on this machine (load {machine.load_before:g} before the run): "
            "run it again when it is quiet."
        )
    else:
        banner = "Figures of one machine and one run. Compare ratios; rates are of this machine."
    parts = [
        page.paragraph(
            "On loopback, TCP_NODELAY on both sides, sender and receiver in processes of their own "
            f"on the same {machine.cores} cores ({machine.processor}), "
            f"{' or '.join(map(str, CONNECTIONS))} connections, each with one message under "
            "way. All receivers run; they take turns. Again: make bench-messages."
        ),
        page.heading("Messages a second that a receiver acknowledges"),
        page.paragraph(
            f"Ever new orders of {len(order(0))} bytes, sent by a driver that only changes their "
            "numbers. The node's listener, inbox, spool and database are those it serves with."
        ),
        page.table(("receiver", *HEAD), _rows(rates, is_sender=False)),
        page.bullets(f"{name}: {does}" for name, does in RECEIVERS.items()),
        page.heading("Messages a second that a sender gets acknowledged"),
        page.paragraph(
            f"Ever new results of {len(result(0)) / 1000:.0f} KB, to a receiver that looks for "
            "MSH-10 alone and keeps nothing."
        ),
        page.table(("sender", *HEAD), _rows(rates, is_sender=True)),
        page.bullets(f"{name}: {does}" for name, does in SENDERS.items()),
    ]
    return page.render_page("CardioNode: HL7 messages", banner, parts)


def _rows(rates: Sequence[Rate], is_sender: bool) -> Iterator[tuple[str, ...]]:
    own = [each for each in rates if each.is_sender is is_sender]
    for each in sorted(own, key=lambda rate: rate.connections):
        rounds = f"{min(each.a_second):.0f} to {max(each.a_second):.0f}"
        yield (
            each.name,
            str(each.connections),
            f"{each.middle:.0f} ({rounds})",
            f"{over(rates, each):.2f} times it",
            f"{each.p50_ms:.2f} ms",
            f"{each.p95_ms:.2f} ms",
            f"{each.sender_cpu_ms:.2f} ms",
            f"{each.receiver_cpu_ms:.2f} ms",
        )


if __name__ == "__main__":
    app()
