"""`cardionode destinations`: whom results are sent to, and trying one step by step."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from node.cli.check import show_check
from node.cli.jobs import note
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.domain.audit import Action
from node.settings import read_settings
from node.workflow.connection_test import outcome_of

app = typer.Typer(no_args_is_help=True, help="Destinations: whom results are sent to.")


@app.command("list")
def list_destinations(
    config: Config = None, overrides: Overrides = None, as_json: Json = False
) -> None:
    """List whom the configuration names, in which protocol and where."""
    from node.configured_trial import describe_destination

    destinations = read_settings(config, overrides or ()).destinations
    console = Console(highlight=False, soft_wrap=True)
    described = {name: describe_destination(each) for name, each in destinations.items()}
    if as_json:
        console.out(json.dumps(described, indent=2))
        return
    for name, words in described.items():
        console.print(f"{name}  {words}", markup=False)


@app.command("test")
def test(
    name: Annotated[str, typer.Argument(help="The destination, as the configuration calls it.")],
    sends: Annotated[
        bool,
        typer.Option(
            "--send",
            help="Then send it results of the made-up patient CARDIONODE-TEST; they stay "
            "there. A RIS gets a message marked as training.",
        ),
    ] = False,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Try a destination step by step; exit status 0 only if each works.

    Without --send nothing is stored or told there: what is offered is looked at.
    """
    from node.configured_trial import try_destination

    settings = read_settings(config, overrides or ())
    console = Console(highlight=False, soft_wrap=True)
    steps = []
    for step in try_destination(settings, name, sends=sends):
        steps.append(step)
        if not as_json:
            show_check(console, step)
    if as_json:
        console.out(json.dumps([asdict(each) for each in steps], indent=2))
    note(settings, home, Action.TRIED, outcome_of(name, steps, sends=sends))
    if any(each.problem is not None for each in steps):
        raise typer.Exit(1)
