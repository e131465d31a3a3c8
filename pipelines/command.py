"""The command `cardionets`: simulate, train, measure and look at what a CardioNode serves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from node.domain.errors import CardioNodeError

if TYPE_CHECKING:
    from pipelines.training.run import Training

METRICS = "metrics.json"
TOKENIZER = "tokenizer"
"""The stage that needs none before it."""

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
    with _progress() as progress:
        task = progress.add_task("simulating", total=sizes.work)
        made = simulate_cohort(out, sizes, lambda n: progress.advance(task, n))
    Console().print(f"{out}: test subjects {made.statement.test_digest}", markup=False)


@app.command("cohort-report")
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

    with _progress() as progress:
        task = progress.add_task("measuring", total=1.0)
        report = report_cohort(
            folder, out, real=real, train=train, measured=measured,
            tick=lambda share: progress.advance(task, share),
        )  # fmt: skip
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for section, rows in report.rows.items():
        console.print(section)
        for row in rows:
            verdict = {True: "within", False: "OUTSIDE", None: "not judged"}[row.within]
            console.print(
                f"  {row.name}, {row.group}: {row.reached} (target {row.target}) {verdict}"
            )
    console.print(f"{out}: test subjects {report.made.statement.test_digest}")


@app.command("import-checkpoint")
def import_checkpoint(
    ecg: Annotated[Path, typer.Option(help="aligned_ECG_encoder.pth")],
    generator: Annotated[Path, typer.Option(help="checkpoint-last.pth of the generator")],
    autoencoder: Annotated[Path, typer.Option(help="checkpoint-0004.pth of the autoencoder")],
    out: Annotated[Path, typer.Option(help="Folder for the bundle: new, or empty.")],
    name: Annotated[str, typer.Option(help="The bundle's name.")],
    disease: Annotated[
        list[str] | None,
        typer.Option(help="cardiomyopathy=FILE: an encoder for a disease; may be repeated."),
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="You have read the licences and keep to them.")
    ] = False,
) -> None:
    """Make a bundle of published checkpoints; their licences are shown first."""
    from pipelines.cardionets.published_manifest import LICENCE, Checkpoints, disease_file

    try:
        diseases = tuple(disease_file(text) for text in disease or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    files = Checkpoints(ecg=ecg, generator=generator, autoencoder=autoencoder, diseases=diseases)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for file, licence, statement in files.licences():
        console.print(f"{file.name}: {licence}. {statement}")
    if not accept_licence:
        console.print(f"{LICENCE}. If you keep to this, say --accept-licence.")
        raise typer.Exit(2)
    from pipelines.cardionets.published_bundle import import_checkpoints

    bundle = import_checkpoints(files, out, name=name)
    console.print(f"{out}: {bundle.manifest.capabilities_text}; cardionode bundle verify proves it")


Configuration = Annotated[Path, typer.Option("--config", help="The training configuration, TOML.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the training: data and stages.")]


@app.command()
def train(
    stage: Annotated[
        str,
        typer.Argument(
            help="pretrain-ecg, pretrain-cmr, align, phenotypes, diseases, tokenizer, layout or "
            "generator."
        ),
    ],
    config: Configuration,
    out: Folder,
) -> None:
    """Train one stage; goes on from its last checkpoint. The training set must be there."""
    training = _training(config, out)
    if stage not in training.stages:
        raise typer.BadParameter(f"{stage} is no stage; stages are {', '.join(training.stages)}")
    _train(training, stage)


@app.command()
def run(
    config: Configuration,
    out: Folder,
    beside: Annotated[
        bool, typer.Option(help="Train the tokenizer in a second process, on another core.")
    ] = False,
) -> None:
    """Simulate the configured cohort, if there is one, and train every stage in order.

    Run it again after a kill: what is finished stays, and a stage goes on from its checkpoint.
    """
    training = _training(config, out)
    cohort = training.configuration.cohort
    with _progress() as progress:
        task = progress.add_task("training set", total=cohort.work if cohort else None)
        training.prepare(lambda n: progress.advance(task, n))
    with _training_beside(TOKENIZER if beside else None, config, out) as other:
        for stage in training.stages:
            if stage == other.stage and other.wait():
                raise typer.Exit(1)
            _train(training, stage)


@app.command()
def export(config: Configuration, out: Folder) -> None:
    """Write the finished training's bundle into the folder, under its name, and prove it.

    Its card shows the figures of metrics.json, where that is in the folder.
    """
    from pipelines.training.bundle import build_bundle

    training = _training(config, out)
    file = out / METRICS
    metrics = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    bundle = build_bundle(out / training.configuration.name, training, metrics)
    Console(highlight=False, markup=False, soft_wrap=True).print(
        f"{bundle.folder}: {bundle.manifest.capabilities_text}, {bundle.digest}"
    )


@dataclass
class _Beside:
    """A stage that trains in a process of its own, or none."""

    stage: str | None
    process: subprocess.Popen[bytes] | None

    def wait(self) -> int:
        """Its exit status; it has said itself what was wrong."""
        return self.process.wait() if self.process is not None else 0


@contextmanager
def _training_beside(stage: str | None, config: Path, out: Path) -> Iterator[_Beside]:
    """The process ends with the block, however that ends."""
    if stage is None:
        yield _Beside(None, None)
        return
    words = ["train", stage, "--config", str(config), "--out", str(out)]
    start = [sys.executable, "-c", "from pipelines.command import main; main()", *words]
    with subprocess.Popen(start) as process:
        try:
            yield _Beside(stage, process)
        finally:
            process.terminate()


def _training(config: Path, out: Path) -> Training:
    from pipelines.training.configuration import read_configuration
    from pipelines.training.run import Training

    return Training(out, read_configuration(config))


def _train(training: Training, stage: str) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    finished = training.finished(stage)
    console.print(f"{stage}: {'is finished' if finished else 'training'}")
    training.train(stage, progress=console.is_terminal)


def _progress() -> Progress:
    return Progress(console=Console(stderr=True))


def main() -> None:
    """Run the command; a known error is one plain message and exit status 1."""
    try:
        app()
    except CardioNodeError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(error.message)
        sys.exit(1)
