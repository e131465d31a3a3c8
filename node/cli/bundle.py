"""`cardionode bundle`: the model bundles this node can serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TimeElapsedColumn
from rich.table import Column, Table

from node.cli.models import say_building
from node.cli.options import Config, Overrides
from node.dicom.template import load_templates
from node.domain.errors import BundleError, CardioNodeError, ConfigurationError, DeviceError
from node.models import check_fields, wish_of
from node.settings import ModelSettings, read_settings
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import (
    Found,
    Served,
    find_bundles,
    is_shipped,
    load_pipeline,
    serve_bundle,
    shipped_bundles,
)
from pipelines.installation import install_bundle, remove_bundle
from pipelines.manifest import Manifest
from pipelines.runtime import Runtime
from pipelines.runtime.selection import candidates
from pipelines.signature import read_keys

app = typer.Typer(no_args_is_help=True, help="Model bundles.")
Name = Annotated[
    str | None, typer.Argument(help="A bundle's name; without one: all that are served.")
]


@app.command("list")
def list_all(config: Config = None, overrides: Overrides = None) -> None:
    """List the bundles found."""
    settings = read_settings(config, overrides or ())
    name, folder = Column("bundle", no_wrap=True), Column("folder", overflow="fold")
    table = Table("", name, "version", "offers", "trained on", "licence", folder)
    found = find_bundles([shipped_bundles(), *settings.model.folders])
    for bundle in found.bundles.values():
        manifest = bundle.manifest
        table.add_row(
            "*" if manifest.name in settings.model.bundle_names else "",
            manifest.name,
            manifest.version,
            manifest.capabilities_text,
            manifest.training_data,
            manifest.licence,
            str(bundle.folder),
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    for message in dict.fromkeys(error.message for error in found.broken.values()):
        console.print(message, style="red", markup=False)


@app.command("info")
def info(name: Name = None, config: Config = None, overrides: Overrides = None) -> None:
    """Show a bundle's licence, what it was made from, and its model card."""
    console = Console(highlight=False, soft_wrap=True)
    settings = read_settings(config, overrides or ()).model
    for each in _asked(name, settings):
        bundle = _find(each, settings.folders)
        console.rule(f"{bundle.manifest.name} {bundle.manifest.version}  {bundle.digest[:12]}")
        for line in (*licence_lines(bundle.manifest), *_preset_lines(bundle.manifest)):
            console.print(line, markup=False)
        console.print((bundle.folder / "MODEL_CARD.md").read_text(encoding="utf-8"), markup=False)


@app.command("verify")
def verify(name: Name = None, config: Config = None, overrides: Overrides = None) -> None:
    """Check a bundle whole: checksums, signature, manifest, codes, graphs, golden self-test."""
    console = Console(highlight=False, soft_wrap=True)
    settings = read_settings(config, overrides or ()).model
    prove = _proof(settings)
    failed = False
    for each in _asked(name, settings):
        try:
            bundle = _find(each, settings.folders)
            served = prove(bundle)
        except CardioNodeError as error:
            console.print(f"{each}: {error.message}", style="red", markup=False)
            failed = True
        else:
            signed = " signature," if settings.trusted_keys and not is_shipped(bundle) else ""
            model = served.pipeline.identity
            console.print(
                f"{_label(bundle)}: checksums,{signed} manifest, codes, graphs and self-test "
                f"are right on {model.runtime} {model.precision}",
                markup=False,
            )
            if served.reason:
                console.print(f"    {served.reason}", style="dim", markup=False)
            for found in served.proof:
                console.print(
                    f"    {found.output}: at most {found.largest:.2g} from its maker's, "
                    f"{found.allowed:.2g} allowed",
                    style="dim",
                    markup=False,
                )
    if failed:
        raise typer.Exit(1)


@app.command("install")
def install(
    source: Annotated[
        Path, typer.Argument(exists=True, help="A bundle: its folder, or a zip archive of it.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of a bundle of the same name.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Check a bundle whole, and put it into the first of model.folders."""
    settings = read_settings(config, overrides or ()).model
    if not settings.folders:
        raise ConfigurationError(
            "model.folders is empty: name a folder for bundles there, or for once "
            """--set 'model.folders=["/var/lib/cardionode/bundles"]'"""
        )
    into, prove = settings.folders[0], _proof(settings)

    def prove_new(bundle: Bundle) -> None:
        _check_name_is_free(bundle, settings.folders)
        prove(bundle)

    bundle = install_bundle(source, into, prove_new, replace=replace)
    Console(highlight=False, soft_wrap=True).print(
        f"{_label(bundle)} is in {bundle.folder}. A node serves it when model.bundle or "
        "model.by_ae_title names it and the node is started again.",
        markup=False,
    )


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(help="A bundle's name.")],
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Delete an installed bundle."""
    settings = read_settings(config, overrides or ()).model
    folder = _folder(name, settings.folders)
    if folder.parent == shipped_bundles():
        raise ConfigurationError(f"{name} comes with cardionode; only its installation removes it")
    if name in settings.bundle_names:
        raise ConfigurationError(
            f"{name} is what model.bundle or model.by_ae_title serves; name another one there first"
        )
    remove_bundle(folder)
    Console(highlight=False, soft_wrap=True).print(f"{folder} is removed", markup=False)


@app.command("build-engines")
def build_engines(
    name: Name = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Build and prove the engines of TensorRT that a bundle needs on this machine's GPU.

    The node does so itself at its first start, which then takes minutes. Engines are built anew for
    another GPU, driver, release of TensorRT, precision or bundle.
    """
    settings = read_settings(config, overrides or ()).model
    console = Console(highlight=False, soft_wrap=True)
    for each in _asked(name, settings):
        bundle = _find(each, settings.folders)
        runtime, count = _build_and_show(bundle, settings, console)
        console.print(
            f"{_label(bundle)}: engines for {runtime.name}, {runtime.precision}, are in "
            f"{wish_of(settings).engines}, proved on the golden ECG; {count or 'none'} built now",
            markup=False,
        )


def _asked(name: str | None, settings: ModelSettings) -> list[str]:
    return sorted(settings.bundle_names) if name is None else [name]


def licence_lines(manifest: Manifest) -> Iterator[str]:
    """The bundle's licence, then each file it was made from with the licence of that file."""
    yield f"Licence: {manifest.licence}"
    for source in manifest.sources:
        yield f"Made from {source.file} (SHA-256 {source.sha256})"
        yield f"    {source.licence}. {source.statement}"


def _preset_lines(manifest: Manifest) -> Iterator[str]:
    presets = {} if manifest.sampler is None else manifest.sampler.presets
    for name, preset in presets.items():
        yield f"Preset {manifest.name}/{name}: {preset.description}"


def _proof(settings: ModelSettings) -> Callable[[Bundle], Served]:
    """All that a node asks of a bundle before it serves it."""
    templates, keys = load_templates(), read_keys(settings.trusted_keys)
    wish = wish_of(settings, say_building)

    def prove(bundle: Bundle) -> Served:
        check_fields(bundle, templates)
        return serve_bundle(bundle, wish, keys=keys, said=print)

    return prove


def _build_and_show(
    bundle: Bundle, settings: ModelSettings, console: Console
) -> tuple[Runtime, int]:
    """With how many of its engines were built, and not there already."""
    built: dict[str, TaskID] = {}
    columns = ("{task.description}", BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as shown:

        def show(graph: str, share: float) -> None:
            if graph not in built:
                built[graph] = shown.add_task(graph, total=1.0)
            shown.update(built[graph], completed=share)

        return _build_engines(bundle, settings, show), len(built)


def _build_engines(
    bundle: Bundle, settings: ModelSettings, building: Callable[[str, float], None]
) -> Runtime:
    """What the node would take of TensorRT. Raises DeviceError that says why nothing can be built,
    ConfigurationError (the settings ask for another runtime).
    """
    wish, keys = replace(wish_of(settings), building=building), read_keys(settings.trusted_keys)
    passed: list[str] = []
    for candidate in candidates(wish):
        if candidate.is_cpu:
            continue
        try:
            runtime = candidate.make()
            load_pipeline(bundle, runtime, keys=keys)
        except (DeviceError, BundleError) as error:
            passed.append(error.message)
        else:
            return runtime
    if not passed:
        raise ConfigurationError(
            f"model.runtime {wish.runtime!r} has no engines: for those of TensorRT ask for it, "
            "--set model.runtime=tensorrt"
        )
    raise DeviceError(f"no engines can be built here: {'; '.join(dict.fromkeys(passed))}")


def _check_name_is_free(bundle: Bundle, folders: tuple[Path, ...]) -> None:
    """A node serves neither of two bundles that are called alike; what --replace is for is free."""
    name = bundle.manifest.name
    other = find_bundles([shipped_bundles(), *folders]).bundles.get(name)
    if other is not None and other.folder != folders[0] / name:
        raise bundle.fault(
            f"{other.folder} is called so too", "give the new one another name, or remove that"
        )


def _label(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version}"


def _find(name: str, folders: tuple[Path, ...]) -> Bundle:
    return _chosen(find_bundles([shipped_bundles(), *folders]), name)


def _chosen(found: Found, name: str) -> Bundle:
    try:
        return found.bundle(name)
    except KeyError:
        raise BundleError(
            f"no bundle is called {name!r}; `cardionode bundle list` shows them"
        ) from None


def _folder(name: str, folders: tuple[Path, ...]) -> Path:
    """Where a bundle lies; one that is broken goes by the name of its folder, and goes first.

    Raises BundleError (there is none, or two are called so).
    """
    found = find_bundles([shipped_bundles(), *folders])
    for place in (folder / name for folder in folders if (folder / name).is_dir()):
        if name in found.broken and _is_broken(place):
            return place
    return _chosen(found, name).folder


def _is_broken(folder: Path) -> bool:
    try:
        read_bundle(folder)
    except BundleError:
        return True
    return False
