"""`cardionode worklist`: which order an ECG answers, as the RIS says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.options import Config, Json, Overrides
from node.domain.errors import ConfigurationError
from node.settings import read_settings

app = typer.Typer(no_args_is_help=True, help="Orders: what the Modality Worklist says.")


@app.callback()
def _of_several() -> None:
    """A group, though it has one command so far."""


@app.command("test")
def test(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ECG file.")],
    config: Config = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Ask the worklist for the order of an ECG and show what would become of it.

    Nothing is kept or sent, and no identifier is shown. Exit status 0 if there is an order and
    nothing speaks against it.
    """
    from node.configured import build_credentials, build_identity_policy, build_worklist
    from node.dicom.worklist import build_query
    from node.workflow.answer import read_source
    from node.workflow.identity import doubt_without_others
    from node.workflow.reconcile import reconcile

    settings = read_settings(config, overrides or ())
    worklist = build_worklist(settings, build_credentials(settings))
    if settings.worklist is None or worklist is None:
        raise ConfigurationError("there is no [worklist] in the configuration")
    study = read_source(file.read_bytes()).study
    is_asked = build_query(study, settings.worklist.ask_by) is not None
    known = worklist.find(study)
    found = reconcile(study, known)
    doubt = doubt_without_others(study, build_identity_policy(settings)) or found.doubt
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        told = {
            "is_asked": is_asked,
            "known": len(known),
            "is_scheduled": found.is_scheduled,
            "doubt": doubt,
        }
        console.print_json(json.dumps(told))
    else:
        if is_asked:
            console.print(f"orders the worklist gave: {len(known)}")
        else:
            console.print("it is not asked: the ECG has no accession number or Patient ID")
        if doubt is not None:
            console.print(f"it would be held: {doubt}", style="yellow", markup=False)
        elif found.is_scheduled:
            console.print("one of them is this ECG's, and nothing speaks against it")
        else:
            held = settings.orders.unmatched == "hold"
            then = "it would be held" if held else "it would go with what it states itself"
            console.print(f"none of them is this ECG's: {then}", style="yellow")
    if not found.is_scheduled or doubt is not None:
        raise typer.Exit(1)
