"""`cardionode user`: the people who work with the node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from node.cli.jobs import journal, now, open_work, who
from node.cli.options import DEFAULT_HOME, Config, Home, Json, Overrides
from node.domain.user import Role
from node.settings import read_settings
from node.workflow.accounts import Accounts

app = typer.Typer(no_args_is_help=True, help="Users: who may sign in and sign results.")
Name = Annotated[str, typer.Argument(help="By which they sign in.")]


@app.command("add")
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What they may do, each more than the one before.")],
    signs_as: Annotated[
        str,
        typer.Option(
            help='Name that results are signed by, as DICOM has it: "Curie^Marie^^Dr". Without it '
            "they sign none."
        ),
    ] = "",
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
) -> None:
    """Add a user; it asks for a password."""
    with _accounts(config, home, overrides) as accounts:
        accounts.add(name, _new_password(), role=role, by=who(), person_name=signs_as)
    _say(f"user {name} is added")


@app.command("list")
def list_users(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the users."""
    with _accounts(config, home, overrides) as accounts:
        users = accounts.all()
    rows = [
        {
            "name": user.name,
            "role": user.role.value,
            "signs_as": user.person_name,
            "added_at": f"{user.added_at:%Y-%m-%dT%H:%M:%SZ}",
            "failures": user.failures,
        }
        for user in users
    ]
    if as_json:
        Console(highlight=False, soft_wrap=True).out(json.dumps(rows, indent=2))
        return
    table = Table("name", "role", "signs as", "added (UTC)", "wrong passwords since")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    Console(highlight=False, soft_wrap=True).print(table)


@app.command("password")
def password(
    name: Name, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Give a user another password, which it asks for."""
    with _accounts(config, home, overrides) as accounts:
        accounts.set_password(name, _new_password(), by=who())
    _say(f"user {name} has another password")


@app.command("remove")
def remove(
    name: Name, config: Config = None, home: Home = DEFAULT_HOME, overrides: Overrides = None
) -> None:
    """Remove a user. What they have signed stays signed."""
    with _accounts(config, home, overrides) as accounts:
        accounts.remove(name, by=who())
    _say(f"user {name} is removed")


@contextmanager
def _accounts(config: Path | None, home: Path, overrides: list[str] | None) -> Iterator[Accounts]:
    with open_work(read_settings(config, overrides or ()), home) as work:
        yield Accounts(work=work, telemetry=journal(), clock=now)


def _new_password() -> str:
    return str(typer.prompt("new password", hide_input=True, confirmation_prompt=True, err=True))


def _say(sentence: str) -> None:
    Console(highlight=False, soft_wrap=True).print(sentence, markup=False)
