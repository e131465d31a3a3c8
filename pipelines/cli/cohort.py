"""Commands that make and judge a simulated cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.cli.console import plain_console, progress_bar


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
    with progress_bar() as progress:
        task = progress.add_task("simulating", total=sizes.work)
        made = simulate_cohort(out, sizes, lambda n: progress.advance(task, n))
    Console().print(f"{out}: test subjects {made.statement.test_digest}", markup=False)


def cohort_report(
    folder: Annotated[Path, typer.Argument(help="Training set made by: cardionets simulate.")],
    out: Annotated[Path, typer.Option(help="The HTML page; cohort.json comes beside it.")],
    real: Annotated[
        Path | None, typer.Option(help="Folder with DICOM cines to show beside the simulated.")
    ] = None,
    train: Annotated[int, typer.Option(help="Training ECGs to fit on, at most.")] = 20000,
    measured: Annotated[int, typer.Option(help="Test ECGs to measure beat by beat.")] = 3000,
) -> None:
    """Hold a simulated cohort against published figures, as one HTML page."""
    from pipelines.cohort.report import report_cohort

    with progress_bar() as progress:
        task = progress.add_task("measuring", total=1.0)
        report = report_cohort(
            folder, out, real=real, train=train, measured=measured,
            tick=lambda share: progress.advance(task, share),
        )  # fmt: skip
    console = plain_console()
    for section, rows in report.rows.items():
        console.print(section)
        for row in rows:
            verdict = {True: "within", False: "OUTSIDE", None: "not judged"}[row.within]
            console.print(
                f"  {row.name}, {row.group}: {row.reached} (target {row.target}) {verdict}"
            )
    console.print(f"{out}: test subjects {report.made.statement.test_digest}")
