"""`python -m benchmarks`: measure everything, write report.html and figures.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.effort import FULL, QUICK
from benchmarks.figures import STEPS, measure, write_figures
from benchmarks.page import write_page

HERE = Path(__file__).parent
app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    quick: Annotated[bool, typer.Option("--quick", help="See that it runs, in a minute.")] = False,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", help="Finished training whose networks are measured in torch."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the report.")] = HERE,
) -> None:
    """Measure what a CardioNode costs on this machine, against named peers in the same run."""
    console = Console(highlight=False)
    bar = Progress(
        TextColumn("{task.description:<42}"), BarColumn(), TimeElapsedColumn(),
        console=console, disable=not console.is_terminal,
        auto_refresh=False,  # a thread that draws would be measured too
    )  # fmt: skip
    with bar:
        task = bar.add_task("starting", total=STEPS)

        def said(what: str) -> None:
            if console.is_terminal:
                bar.update(task, description=what, advance=1, refresh=True)
            else:
                console.print(what)

        figures = measure(QUICK if quick else FULL, runs, said)
    out.mkdir(parents=True, exist_ok=True)
    write_figures(figures, out / "figures.json")
    write_page(figures, out / "report.html")
    console.print(f"{out / 'report.html'} ({figures.took_s:.0f} s)", soft_wrap=True)


if __name__ == "__main__":
    app()
