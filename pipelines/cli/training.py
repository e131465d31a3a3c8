"""Commands over one training in one folder."""

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

from pipelines.cli.console import plain_console, progress_bar

if TYPE_CHECKING:
    from pipelines.training.run import Training

TOKENIZER = "tokenizer"
"""The stage that needs none before it."""
Configuration = Annotated[Path, typer.Option("--config", help="The training configuration, TOML.")]
Folder = Annotated[Path, typer.Option("--out", help="Folder of the training: data and stages.")]


def train(
    stage: Annotated[
        str,
        typer.Argument(
            help="pretrain-ecg, pretrain-cmr, align, phenotypes, diseases, meter, tokenizer, "
            "layout or generator."
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
    with progress_bar() as progress:
        task = progress.add_task("training set", total=cohort.work if cohort else None)
        training.prepare(lambda n: progress.advance(task, n))
    training.check()
    with _training_beside(TOKENIZER if beside else None, config, out) as other:
        for stage in training.stages:
            if stage == other.stage and other.wait():
                raise typer.Exit(1)
            _train(training, stage)


def compare(config: Configuration, out: Folder) -> None:
    """Train what evaluate compares: starts from the aligned encoder and from scratch, and fusion.

    Stage phenotypes with few and all labels, as the configuration's [comparison] says; and, with
    [comparison.fusion], disease heads on ECG and drawn cine together.
    """
    from pipelines.evaluation.from_scratch import Trial, compare, planned_trials
    from pipelines.evaluation.fused import train_fusion

    training, console = _training(config, out), plain_console()
    count = len(planned_trials(training))
    begun: list[Trial] = []

    def began(trial: Trial) -> None:
        begun.append(trial)
        console.print(f"{len(begun)} of {count}: {trial.name}")

    for trial in compare(training, progress=console.is_terminal, began=began):
        told = ", ".join(f"{asked} {score:.3f}" for asked, score in trial.scores.items())
        console.print(f"{trial.name}: sum of R2 on the calibration subjects: {told}")
    fusion = training.configuration.comparison.fusion
    if fusion is not None:
        console.print("fusion of ECG and drawn cine")
        train_fusion(training, fusion, progress=console.is_terminal)


def evaluate(
    config: Configuration,
    out: Folder,
    fit: Annotated[
        int, typer.Option(min=1, help="Training subjects to fit baselines and oracle on, at most.")
    ] = 20000,
    cines: Annotated[
        int, typer.Option(min=2, help="Test subjects whose cines are measured, at most.")
    ] = 400,
    bank: Annotated[
        int, typer.Option(min=1, help="Hearts that the ideal sampler of cines draws from.")
    ] = 200000,
) -> None:
    """Measure the finished training on its test subjects: report.html and metrics.json."""
    from pipelines.evaluation.report import METRICS, REPORT
    from pipelines.evaluation.report import evaluate as evaluate_training

    training = _training(config, out)
    with progress_bar() as progress:
        task = progress.add_task("measuring", total=1.0)
        evaluate_training(
            training,
            fit=fit,
            cines=cines,
            bank=bank,
            tick=lambda share: progress.advance(task, share),
        )
    plain_console().print(f"{out / REPORT}, {out / METRICS}")


def export(config: Configuration, out: Folder) -> None:
    """Write the finished training's bundle into the folder, under its name, and prove it.

    Its card shows the figures of metrics.json, where that is in the folder.
    """
    from pipelines.evaluation.report import METRICS
    from pipelines.training.bundle import build_bundle, not_offered

    training = _training(config, out)
    file = out / METRICS
    metrics = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    bundle = build_bundle(out / training.configuration.name, training, metrics)
    console = plain_console()
    for field_id in not_offered(training.data.statement, bundle.manifest):
        console.print(
            f"{field_id} is not offered: too few training or calibration subjects have it"
        )
    console.print(f"{bundle.folder}: {bundle.manifest.capabilities_text}, {bundle.digest}")


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
    console = plain_console()
    finished = training.finished(stage)
    console.print(f"{stage}: {'is finished' if finished else 'training'}")
    training.train(stage, progress=console.is_terminal)
