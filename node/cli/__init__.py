"""The command `cardionode`: one file a group of commands.

The engine and the parts of a node are imported where they are used: offline commands start without.
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from node.cli import (
    bundle,
    check,
    conformance,
    demo,
    fhir,
    hl7,
    jobs,
    peers,
    process,
    route,
    send,
    serve,
    worklist,
)
from node.domain.errors import CardioNodeError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="12-lead ECG in; synthetic cardiac MR cine, report and HL7 result out.",
)
app.command("serve")(serve.serve)
app.command("check")(check.check)
app.command("process")(process.process)
app.command("send")(send.send)
app.command("demo")(demo.demo)
app.command("conformance")(conformance.conformance)
app.add_typer(bundle.app, name="bundle")
app.add_typer(jobs.app, name="jobs")
app.add_typer(peers.app, name="peers")
app.add_typer(route.app, name="route")
app.add_typer(worklist.app, name="worklist")
app.add_typer(hl7.app, name="hl7")
app.add_typer(fhir.app, name="fhir")


def main() -> None:
    """Run the command; a known error is one plain message and exit status 1."""
    try:
        app()
    except CardioNodeError as error:
        Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(error.message)
        sys.exit(1)
