"""`cardionode config`: look at the configuration, and change its file; comments stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from node.cli.options import Config, Overrides
from node.configuration import ConfigurationFile, difference
from node.domain.errors import ConfigurationError
from node.settings import read_settings

app = typer.Typer(no_args_is_help=True, help="The configuration: what holds, changing its file.")
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show the difference; the file stays as it is.")
]


@app.command("show")
def show(
    key: Annotated[
        str, typer.Argument(help="A table or a key, e.g. dicom or dicom.port; without one all.")
    ] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print what holds, as JSON: the default, changed by the file and by --set."""
    found: Any = read_settings(config, overrides or ()).model_dump(mode="json")
    for part in filter(None, key.split(".")):
        if not isinstance(found, dict) or part not in found:
            raise ConfigurationError(f"there is no key {key}; without one all are shown")
        found = found[part]
    Console(highlight=False, soft_wrap=True).out(json.dumps(found, indent=2))


@app.command("set")
def set_keys(
    changes: Annotated[
        list[str],
        typer.Argument(
            help="E.g. dicom.port=11912; the value is TOML, or plain text. += adds to a list."
        ),
    ],
    config: Config = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
) -> None:
    """Set keys in the configuration file; nothing is written that a node would refuse.

    Comments stay, other keys too. A node that runs goes on with what it has read until it is told
    to take the file up: `systemctl reload cardionode`, or SIGHUP.
    """
    for each in changes:
        if "=" not in each:
            raise ConfigurationError(f"{each}: write it as table.key=value")
    change_file(config, overrides, changes, dry_run=dry_run)


@app.command("unset")
def unset_keys(
    keys: Annotated[list[str], typer.Argument(help="E.g. dicom.port, or destinations.PACS.")],
    config: Config = None,
    overrides: Overrides = None,
    dry_run: DryRun = False,
) -> None:
    """Take keys or tables out of the configuration file: then the default holds."""
    for each in keys:
        if "=" in each:
            raise ConfigurationError(f"{each}: name the key alone")
    change_file(config, overrides, keys, dry_run=dry_run)


@app.command("reference")
def reference(
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="File; without one it is printed.")
    ] = None,
) -> None:
    """Print every key there is, with what it takes, its default and what it is, as Markdown."""
    from node.configuration_reference import configuration_reference

    text = configuration_reference()
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")


def change_file(
    config: Path | None, overrides: list[str] | None, changes: Sequence[str], *, dry_run: bool
) -> None:
    """Change the file, and show the difference. Raises as `ConfigurationFile` does."""
    if config is None:
        raise ConfigurationError("which file? name it with --config; the default is never changed")
    file = ConfigurationFile(path=config, overrides=overrides or ())
    revision = file.read()
    text = file.changed(revision, changes)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for line in difference(revision.text, text):
        console.print(line, style={"+": "green", "-": "red"}.get(line[:1]))
    if text == revision.text:
        console.print("nothing changes")
    elif not dry_run:
        file.replace(revision, text)
        console.print(f"{config} is changed; a node that runs takes it up at `systemctl reload`")
