"""`cardionode audit`: who saw or did what, in the console and on the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.settings import read_settings


def audit(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    job: Annotated[int | None, typer.Option("--job", help="Only what was about that job.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="Only what that user did.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many, latest first.")] = 50,
    as_json: Json = False,
) -> None:
    """List who saw or did what. It names no patient."""
    settings = read_settings(config, overrides or ())
    with open_work(settings, home) as work, work.look() as transaction:
        entries = transaction.audit.latest(limit=limit, job_id=job, user_name=user)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        told = [
            asdict(each) | {"at": each.at.isoformat(), "action": each.action.value}
            for each in entries
        ]
        console.out(json.dumps(told, indent=2))
        return
    table = Table("at (UTC)", "who", "from", "did what", "job", "what came of it")
    for each in entries:
        table.add_row(
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            escape(each.user_name),
            each.peer,
            each.action.value,
            "" if each.job_id is None else str(each.job_id),
            escape(each.said),
        )
    console.print(table)
