"""The command `cardionode`: one file a group of commands, imported when it is asked for.

The engine and the parts of a node are imported where they are used: offline commands start without.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command, get_group

from node.domain.errors import CardioNodeError

_COMMANDS: Final = (
    "serve",
    "check",
    "doctor",
    "process",
    "send",
    "demo",
    "hosts",
    "audit",
    "conformance",
)
"""Each the function of that name, in the module of that name."""
_GROUPS: Final = (
    "config",
    "alerts",
    "bundle",
    "jobs",
    "peers",
    "destinations",
    "route",
    "worklist",
    "user",
    "store",
    "hl7",
    "fhir",
)
"""Each the `app` of the module of that name."""


class _Commands(TyperGroup):
    """Those of the modules here; typer keeps the types of its own click to itself."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*_COMMANDS, *_GROUPS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"node.cli.{cmd_name}")
        if cmd_name in _GROUPS:
            found: Any = get_group(module.app)
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(getattr(module, cmd_name))
            found = get_command(alone)
        found.name = cmd_name
        return found


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="12-lead ECG in; synthetic cardiac MR cine, report and HL7 result out.",
)


@app.callback()
def _cardionode() -> None:
    """A group without a command of its own."""


def main() -> None:
    """Run the command; a known error is one plain message and exit status 1."""
    try:
        app()
    except CardioNodeError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(error.message)
        sys.exit(1)
