"""`cardionode store`: whether all is kept as it was written, and copies of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.configured_store import build_cipher, open_objects
from node.settings import read_settings
from node.store.backup import back_up, check_is_folder_of_its_own
from node.store.backup import restore as restore_backup
from node.store.inspection import inspect_store

app = typer.Typer(no_args_is_help=True, help="What the node keeps: proved, swept, copied.")

_BEING_WRITTEN = timedelta(days=1)
"""What was kept so lately may belong to a row that is not written yet."""


@app.command("verify")
def verify(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Remove objects that no row names, a day old or more.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read every object that a row names, and say what is lost or altered: then status 1."""
    before = datetime.now(UTC) - _BEING_WRITTEN
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work:
        objects = open_objects(settings, home)
        swept = objects.sweep(older_than=before) if sweep else 0
        with _progress("reading objects") as tick:
            found = inspect_store(work.database, objects, older_than=before, tick=tick)
        if sweep:
            swept += sum(objects.remove_if_older(digest, than=before) for digest in found.orphans)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps(asdict(found) | {"swept": swept}, indent=2))
    else:
        for each in found.lost:
            console.print(f"{', '.join(each.named_by)}: {each.reason}", markup=False)
        kept = f"{len(found.orphans)} that no row names"
        console.print(
            f"{found.checked} objects read, {len(found.lost)} lost or altered; {kept}"
            + (f", {swept} files removed" if sweep else "; --sweep removes them")
        )
    if found.lost:
        raise typer.Exit(1)


@app.command("backup")
def backup(
    folder: Annotated[Path, typer.Argument(help="Made, or brought up to date.")],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Copy the SQLite database and the objects, beside a node that runs.

    A PostgreSQL database is backed up by its own tools, before this.
    """
    check_is_folder_of_its_own(folder, home)
    settings = read_settings(config, overrides or ())
    cipher = build_cipher(settings)
    with open_work(settings, home) as work, _progress("copying") as tick:
        objects = open_objects(settings, home)
        count = back_up(work.database, objects, folder, cipher=cipher, tick=tick)
    _say(f"{count} objects and what names them are in {folder}")


@app.command("restore")
def restore(
    folder: Annotated[Path, typer.Argument(help="Where `cardionode store backup` put one.")],
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Make a home folder of a backup; `cardionode serve` then goes on where that was taken.

    The objects go where the configuration has them.
    """
    settings = read_settings(config, overrides or ())
    with _progress("restoring") as tick:
        count = restore_backup(
            folder, home, open_objects(settings, home), cipher=build_cipher(settings), tick=tick
        )
    _say(f"{count} objects and what names them are restored; the database is in {home}")


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(sentence: str) -> None:
    Console(highlight=False, soft_wrap=True).print(sentence, markup=False)
