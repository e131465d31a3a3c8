"""`cardionode fhir`: what a FHIR server would receive."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.hl7 import answered, form_beside
from node.cli.options import Config, Overrides
from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError
from node.fhir.library import need_library
from node.settings import FhirDestinationSettings, read_settings
from node.workflow.compose import compose_transaction

app = typer.Typer(no_args_is_help=True, help="FHIR: what a server would receive.")


@app.callback()
def _of_several() -> None:
    """A group, though it has one command so far."""


@app.command("preview")
def preview(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ECG file.")],
    destination: Annotated[str, typer.Option("--destination", help="Name of a FHIR destination.")],
    called: Annotated[
        str,
        typer.Option("--called", help="AE title called, where model.by_ae_title tells bundles."),
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="The bytes themselves, on one line.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print the transaction that a destination would receive for an ECG.

    It names the patient, as the transaction does, and the order that the ECG itself states. Nothing
    is looked up, kept or sent.
    """
    from node.configured import site_of

    settings = read_settings(config, overrides or ())
    configured = settings.destinations.get(destination)
    if not isinstance(configured, FhirDestinationSettings):
        names = [
            name
            for name, each in settings.destinations.items()
            if isinstance(each, FhirDestinationSettings)
        ]
        raise ConfigurationError(
            f"no FHIR destination is called {destination}; there are {', '.join(names) or 'none'}"
        )
    need_library()
    templates = load_templates()
    found, prediction, record = answered(file, called, settings, templates)
    transaction = compose_transaction(
        prediction,
        record,
        found.source,
        form_beside(destination, settings),
        destination=destination,
        site=site_of(configured),
        templates=templates,
    )
    if exact:
        sys.stdout.buffer.write(transaction.content)
        return
    typer.echo(json.dumps(json.loads(transaction.content), indent=2, ensure_ascii=False))
