"""The command over published checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import plain_console


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
    console = plain_console()
    for file, licence, statement in files.licences():
        console.print(f"{file.name}: {licence}. {statement}")
    if not accept_licence:
        console.print(f"{LICENCE}. If you keep to this, say --accept-licence.")
        raise typer.Exit(2)
    from pipelines.cardionets.published_bundle import import_checkpoints

    bundle = import_checkpoints(files, out, name=name)
    console.print(f"{out}: {bundle.manifest.capabilities_text}; cardionode bundle verify proves it")
