"""`cardionode alerts`: see whether what is wrong would reach somebody."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

import typer
from rich.console import Console

from node.cli.options import Config, Overrides
from node.configured import build_notifiers
from node.domain.alert import Alert, AlertState, Condition
from node.domain.errors import CardioNodeError, ConfigurationError
from node.settings import read_settings

app = typer.Typer(no_args_is_help=True, help="Alerts: who is told of what is wrong.")


@app.callback()
def alerts() -> None:
    """Alerts: who is told of what is wrong."""


@app.command("test")
def test(config: Config = None, overrides: Overrides = None) -> None:
    """Tell a trial alert every way that is configured; exit status 0 only if all took it."""
    notifiers = build_notifiers(read_settings(config, overrides or ()).alerts)
    if not notifiers:
        raise ConfigurationError(
            "nobody is told: there is no [alerts.mail] and no [alerts.webhook]"
        )
    console = Console(highlight=False, soft_wrap=True)
    trial = Alert(
        state=AlertState.BEGAN,
        condition=Condition(key="trial", said="a trial: nothing is wrong, and alerts arrive here"),
        since=datetime.now(UTC),
    )
    failed = False
    for name, notifier in notifiers.items():
        try:
            said = notifier.tell(socket.gethostname(), [trial])
            console.print(f"ok    {name}: {said or 'taken'}; has it arrived?", markup=False)
        except CardioNodeError as error:
            failed = True
            console.print(f"FAIL  {name}: {error.message}", style="red", markup=False)
    if failed:
        raise typer.Exit(1)
