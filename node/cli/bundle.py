"""`cardionode bundle`: the model bundles this node can serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node.app import available_cores
from node.cli.options import Config, Overrides
from node.dicom.template import load_templates
from node.domain.errors import BundleError, CardioNodeError
from node.settings import read_settings
from pipelines.bundle import Bundle
from pipelines.catalog import list_bundles, load_pipeline, shipped_bundles
from pipelines.manifest import Manifest

app = typer.Typer(no_args_is_help=True, help="Model bundles.")
Name = Annotated[str | None, typer.Argument(help="A bundle's name; without one: all.")]


@app.command("list")
def list_all(config: Config = None, overrides: Overrides = None) -> None:
    """List the bundles found."""
    settings = read_settings(config, overrides or ())
    table = Table("", "bundle", "version", "offers", "trained on", "licence", "folder")
    for bundle in _find(None, settings.model.folders):
        manifest = bundle.manifest
        table.add_row(
            "*" if manifest.name == settings.model.bundle else "",
            manifest.name,
            manifest.version,
            manifest.capabilities_text,
            manifest.training_data,
            manifest.licence,
            str(bundle.folder),
        )
    Console(highlight=False).print(table)


@app.command("info")
def info(name: Name = None, config: Config = None, overrides: Overrides = None) -> None:
    """Show a bundle's licence, what it was made from, and its model card."""
    console = Console(highlight=False)
    for bundle in _find(name, read_settings(config, overrides or ()).model.folders):
        console.rule(f"{bundle.manifest.name} {bundle.manifest.version}  {bundle.digest[:12]}")
        for line in licence_lines(bundle.manifest):
            console.print(line, markup=False)
        console.print((bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8"), markup=False)


@app.command("verify")
def verify(name: Name = None, config: Config = None, overrides: Overrides = None) -> None:
    """Check a bundle whole: checksums, manifest, codes, graphs, golden self-test."""
    console = Console(highlight=False)
    templates = load_templates()
    failed = False
    for bundle in _find(name, read_settings(config, overrides or ()).model.folders):
        label = f"{bundle.manifest.name} {bundle.manifest.version}"
        try:
            templates.codes(bundle.manifest.field_ids)
            load_pipeline(bundle, threads=available_cores())
        except CardioNodeError as error:
            console.print(f"{label}: {error.message}", style="red", markup=False)
            failed = True
        else:
            console.print(f"{label}: checksums, manifest, codes, graphs and self-test are right")
    if failed:
        raise typer.Exit(1)


def licence_lines(manifest: Manifest) -> Iterator[str]:
    """The bundle's licence, then each file it was made from with the licence of that file."""
    yield f"Licence: {manifest.licence}"
    for source in manifest.sources:
        yield f"Made from {source.file} (SHA-256 {source.sha256})"
        yield f"    {source.licence}. {source.statement}"


def _find(name: str | None, folders: tuple[Path, ...]) -> list[Bundle]:
    found = list_bundles([shipped_bundles(), *folders])
    chosen = [bundle for bundle in found if name in (None, bundle.manifest.name)]
    if not chosen:
        raise BundleError(f"no bundle is called {name!r}; `cardionode bundle list` shows them")
    return chosen
