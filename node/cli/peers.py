"""`cardionode peers`: who may call, who was turned away, and letting them in."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node.admission import Admission
from node.cli.config import DryRun, change_file
from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.domain.caller import Permission, Refusal, RefusedCaller
from node.domain.errors import NotPossible
from node.settings import read_settings

app = typer.Typer(no_args_is_help=True, help="Callers: who may, and who was turned away.")


@app.command("list")
def list_peers(config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """List who may associate, as the configuration says."""
    peers = read_settings(config, overrides or ()).dicom.peers
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps([peer.model_dump(mode="json") for peer in peers], indent=2))
        return
    table = Table("calling AE title", "from", "called AE title", "may", "certificate")
    for peer in peers:
        table.add_row(
            peer.ae_title,
            ", ".join(str(network) for network in peer.networks),
            peer.called_ae,
            ", ".join(permission.value for permission in peer.may),
            peer.certificate or "",
        )
    console.print(table)


@app.command("refused")
def list_refused(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the callers that were turned away, the last first, and why."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        callers = transaction.refused.latest()
    admission = Admission(settings=settings)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        console.out(json.dumps([_described(each, admission) for each in callers], indent=2))
        return
    for each in callers:  # no table: the reasons are sentences
        refusal = each.refusal
        titles = f"{refusal.calling_ae or 'no AE title'} to {refusal.called_ae or 'none'}"
        console.print(
            f"{each.number:>4}  {titles} from {refusal.peer}: {each.count} times, "
            f"{each.first_seen_at:%Y-%m-%d %H:%M:%S} to {each.last_seen_at:%Y-%m-%d %H:%M:%S} UTC\n"
            f"      {refusal.reason}\n      now: {_now(refusal, admission)}",
            markup=False,
        )
    if callers:
        console.print("cardionode peers allow NUMBER lets one in")


@app.command("allow")
def allow(
    number: Annotated[
        int, typer.Argument(help="The caller's number, as `peers refused` shows it.")
    ],
    may: Annotated[
        list[Permission] | None, typer.Option(help="What it may ask; may be repeated.")
    ] = None,
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    dry_run: DryRun = False,
) -> None:
    """Let a refused caller in, and nobody else: one more entry in the configuration file.

    A node that runs goes on with what it has read until it is told to take the file up.
    """
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.begin() as transaction:
        caller = transaction.refused.get(number)
    if caller is None:
        raise NotPossible(
            f"there is no refused caller {number}; `cardionode peers refused` shows them"
        )
    changes = Admission(settings=settings).changes(caller.refusal, frozenset(may or Permission))
    if changes:
        refusal = caller.refusal
        said = f"{refusal.calling_ae} at {refusal.peer} may call {refusal.called_ae}"
        change_file(config, home, overrides, changes, said, dry_run=dry_run)
    else:
        Console(highlight=False, soft_wrap=True, markup=False).print(
            f"dicom.peers admits this caller; it was refused because: {caller.refusal.reason}\n"
            "where that is no more so, have the file taken up: `systemctl reload cardionode`"
        )


def _now(refusal: Refusal, admission: Admission) -> str:
    """What the configuration says of the caller today."""
    may = admission.now(refusal)
    words = ", ".join(each.value for each in Permission if each in may)
    return f"may {words}" if may else "refused"


def _described(caller: RefusedCaller, admission: Admission) -> dict[str, object]:
    return {
        "number": caller.number,
        **asdict(caller.refusal),
        "count": caller.count,
        "first_seen_at": caller.first_seen_at.isoformat(),
        "last_seen_at": caller.last_seen_at.isoformat(),
        "now": _now(caller.refusal, admission),
    }
