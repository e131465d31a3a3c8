"""The command `cardionets`: train a bundle, and look at its figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def cardionets() -> None:
    """CardioNets: train and measure what a CardioNode serves (needs the extra `train`)."""


@app.command()
def train(
    config: Annotated[Path, typer.Option(exists=True, help="Training configuration (TOML).")],
    out: Annotated[Path, typer.Option(help="Folder for the cohort, checkpoints and the bundle.")],
) -> None:
    """Simulate, train, calibrate, measure and write a bundle; a finished stage is not repeated."""
    import torch

    from pipelines.cardionets.cine_decoder import CineDecoder
    from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
    from pipelines.training.bundle import build_bundle
    from pipelines.training.cine import train_cine
    from pipelines.training.cohort import open_cohort, simulate_cohort
    from pipelines.training.configuration import read_configuration
    from pipelines.training.ecg import train_ecg
    from pipelines.training.targets import read_targets

    configuration = read_configuration(config)
    sizes = configuration.cohort
    with Progress(console=Console(stderr=True)) as progress:

        def stage(name: str) -> Callable[[float, str], None]:
            task = progress.add_task(name, total=1.0)
            return lambda share, loss: progress.update(
                task, completed=share, description=f"{name}: {loss}"
            )

        cohort_folder = out / "cohort"
        if not (cohort_folder / "done").exists():
            total = sizes.size + len(sizes.with_cine)
            task = progress.add_task("simulating the cohort", total=total)
            simulate_cohort(cohort_folder, configuration, lambda n: progress.advance(task, n))
            (cohort_folder / "done").touch()
        cohort = open_cohort(cohort_folder)
        targets = read_targets(cohort, configuration)
        width = targets.natural.shape[1]
        cine_file, ecg_file = out / "cine.pt", out / "ecg.pt"
        if not cine_file.exists():
            train_cine(cohort, targets, configuration, cine_file, stage("training the cine"))
        if not ecg_file.exists():
            train_ecg(cohort, targets, configuration, ecg_file, stage("training the ECG network"))
    decoder = CineDecoder(width)
    decoder.load_state_dict(torch.load(cine_file, weights_only=True))
    network = EcgToPhenotypes(configuration.ecg.channels, width, cohort.diseases.shape[1])
    network.load_state_dict(torch.load(ecg_file, weights_only=True))
    bundle = build_bundle(
        out / configuration.name, network.eval(), decoder.eval(), cohort, targets, configuration
    )
    Console().print(f"{bundle.folder}: {bundle.manifest.capabilities_text}", markup=False)


def main() -> None:
    """Run the command."""
    app()
