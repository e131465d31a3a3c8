"""The command `cardionets`: simulate, train, measure and look at what a CardioNode serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def cardionets() -> None:
    """CardioNets: simulate, train and measure models (needs the extra `train`)."""


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the training set.")],
    seed: Annotated[int, typer.Option(help="Another seed, another population.")] = 20261125,
    test: Annotated[int, typer.Option(help="Subjects to test on.")] = 5000,
    calibration: Annotated[int, typer.Option(help="Subjects to set intervals by.")] = 3000,
    train: Annotated[int, typer.Option(help="Subjects to train on.")] = 50000,
    test_cines: Annotated[int, typer.Option(help="Cines among the test subjects.")] = 400,
    train_cines: Annotated[int, typer.Option(help="Cines among the training subjects.")] = 6000,
) -> None:
    """Simulate a paired cohort: ECGs, cines, phenotypes, diseases."""
    from pipelines.cohort.simulation import CohortSizes, simulate_cohort

    sizes = CohortSizes(
        seed=seed, test=test, calibration=calibration, train=train,
        test_cines=test_cines, train_cines=train_cines,
    )  # fmt: skip
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("simulating", total=sizes.work)
        made = simulate_cohort(out, sizes, lambda n: progress.advance(task, n))
    Console().print(f"{out}: test subjects {made.statement.test_digest}", markup=False)


def main() -> None:
    """Run the command."""
    app()
