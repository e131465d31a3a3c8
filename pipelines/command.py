"""The command `cardionets`: simulate or prepare, train, measure what a CardioNode serves."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from node.domain.errors import CardioNodeError
from pipelines.cli import cohort, dataset, published, training

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def cardionets() -> None:
    """CardioNets: simulate, train and measure models (needs the extra `train`)."""


app.command()(cohort.simulate)
app.command()(dataset.prepare)
app.command("cohort-report")(cohort.cohort_report)
app.command("import-checkpoint")(published.import_checkpoint)
for command in (
    training.train, training.run, training.compare, training.evaluate, training.export,
):  # fmt: skip
    app.command()(command)


def main() -> None:
    """Run the command; a known error is one plain message and exit status 1."""
    try:
        app()
    except CardioNodeError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(error.message)
        sys.exit(1)
