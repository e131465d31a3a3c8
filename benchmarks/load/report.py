"""The page of a load run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.load.capacity import Host
from benchmarks.load.carts import PEAK
from benchmarks.load.forecast import DAY_S, ECGS_A_DAY, LATE, Need, foretold
from benchmarks.load.plot import plot_answers
from benchmarks.load.runs import IN_HAND, Percentiles, Run
from benchmarks.machine import Machine
from pipelines.cohort import page

RECEIVING = 3.0
"""Times its quiet p95, which a C-STORE may take while inference saturates the processor."""


def render(
    machine: Machine,
    runs: Sequence[Run],
    alone_ms: Percentiles,
    host: Host,
    needed: Sequence[Need],
    is_morning: bool,
) -> str:
    """alone_ms: a C-STORE of the busiest share's carts, where nothing is inferred."""
    banner = (
        f"Others were working on this machine (load {machine.load_before:g} before the run): run "
        "it again when it is quiet."
        if machine.contended
        else "Figures of one machine and one run."
    )
    quiet, full, *shares = runs
    busiest = max(shares, key=lambda run: run.ecgs_a_second)
    come = "Carts come when they will (a Poisson process)"
    if is_morning:
        come += ", in the middle of a run at twice the mean rate"
    parts = [
        page.paragraph(
            f"One node as it is installed, Orthanc as its PACS (it forgets the oldest), a RIS that "
            "acknowledges, and the "
            f"carts, all on {machine.cores} cores ({machine.processor}). {come}, each ECG over an "
            "association of its own; its time begins when its cart wants to send it and ends "
            f"when PACS and RIS have acknowledged its four results. The capacity is the rate at "
            f"which ECGs are answered while {IN_HAND} are always under way, the next sent when one "
            f"is answered: {full.ecgs_a_second:.2f} a second. "
            "Nothing was lost: a run ends when all are answered. Again: make bench-load."
        ),
        page.heading("From the C-STORE to results acknowledged by PACS and RIS"),
        page.table(
            (
                "ECGs", "sent", "a second", "C-STORE p50", "p95", "p99", "answer p50", "p95",
                "p99", "waiting at most", "node's cores",
            ),
            map(_row, runs),
        ),
        page.picture(plot_answers(runs), "answers and memory over time"),
        page.heading("Receiving while inference saturates the processor"),
        page.paragraph(
            f"Without a pause a C-STORE's p95 is {full.store_ms[1] / quiet.store_ms[1]:.1f} times "
            f"the one of one ECG at a time. Where carts come when they will, some come at once and "
            f"wait for each other, whatever the node does: at {busiest.name} it is "
            f"{busiest.store_ms[1]:.0f} ms, {busiest.store_ms[1] / alone_ms[1]:.1f} times the "
            f"{alone_ms[1]:.0f} ms of the same carts at the same moments at a node that receives "
            f"and infers nothing. Aimed at: {RECEIVING:g} times at most."
        ),
        page.heading("The quarters of each run"),
        page.table(
            ("run", "quarter", "answer p50", "p95", "p99", "memory", "threads", "open files"),
            _quarters(shares),
        ),
        page.heading("What a simulation of this node foretells"),
        page.paragraph(
            f"A host answers an ECG in {host.alone_s:.2f} s when it has no other, "
            f"{host.a_second:.2f} ECGs a second when it has many, {host.at_once} at once; from "
            "these three figures, for the arrivals above:"
        ),
        page.table(
            ("run", "answer p50", "p95", "p99", "foretold p50", "p95", "p99"),
            (
                (each.name, *_seconds(each.answer_s), *_seconds(foretold(each, host)))
                for each in shares
            ),
        ),
        page.heading("Hospitals"),
        page.paragraph(
            f"Each with {ECGS_A_DAY} ECGs in {DAY_S / 3600:g} hours of a day (assumed), at noon "
            f"{PEAK:g} times the mean; the fewest hosts like this one with which the 95th "
            f"percentile is at most {LATE:g} times that of an idle one. No host more for one that "
            "fails, and the database is taken to keep up: docs/capacity.md. A receiver's share is "
            "of the slowest round in receiving.json."
        ),
        page.table(
            (
                "hospitals", "ECGs a day", "a second at noon", "hosts", "answer p50", "p95",
                "p99", "waiting at most", "of one receiver",
            ),
            map(_need, needed),
        ),
    ]  # fmt: skip
    return page.render_page("CardioNode: a node under load", banner, parts)


def _row(run: Run) -> tuple[str, ...]:
    return (
        run.name,
        str(len(run.sent)),
        f"{run.ecgs_a_second:.2f}",
        *(f"{each:.0f} ms" for each in run.store_ms),
        *_seconds(run.answer_s),
        str(run.most_waiting),
        f"{run.cores:.2f}",
    )


def _need(need: Need) -> tuple[str, ...]:
    return (
        str(need.hospitals), str(need.ecgs), f"{need.peak_a_second:.2f}", str(need.hosts),
        *_seconds(need.answer_s), str(need.most_waiting), f"{need.receiver_share:.1%}",
    )  # fmt: skip


def _seconds(percentiles: Percentiles) -> Iterator[str]:
    return (f"{each:.2f} s" for each in percentiles)


def _quarters(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    for run in runs:
        for number, (answer_s, memory_mb, threads, files) in enumerate(run.quarters, start=1):
            yield (
                run.name, str(number), *_seconds(answer_s),
                f"{memory_mb:.0f} MB", str(threads), str(files),
            )  # fmt: skip
