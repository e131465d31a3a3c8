"""`cardionode hl7`: what an HL7 destination would receive."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import Config, Overrides
from node.dicom.template import load_templates
from node.domain.errors import ConfigurationError, UnsupportedInstance
from node.domain.form import ResultForm
from node.hl7.message import CODECS
from node.models import load_models
from node.settings import Hl7DestinationSettings, Settings, read_settings
from node.workflow.compose import compose_message
from node.workflow.process import answer

app = typer.Typer(no_args_is_help=True, help="HL7: what a RIS would receive.")


@app.callback()
def _of_several() -> None:
    """A group, though it has one command so far."""


@app.command("preview")
def preview(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ECG file.")],
    destination: Annotated[str, typer.Option("--destination", help="Name of an HL7 destination.")],
    called: Annotated[
        str,
        typer.Option("--called", help="AE title called, where model.by_ae_title tells bundles."),
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="The bytes themselves: segments end with CR.")
    ] = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Print the message that a destination would receive for an ECG, a segment a line.

    It names the patient, as the message does, and the order that the ECG itself states. Nothing is
    looked up, kept or sent.
    """
    from node.configured import profile_of

    settings = read_settings(config, overrides or ())
    configured = settings.destinations.get(destination)
    if not isinstance(configured, Hl7DestinationSettings):
        names = [
            name
            for name, each in settings.destinations.items()
            if isinstance(each, Hl7DestinationSettings)
        ]
        raise ConfigurationError(
            f"no HL7 destination is called {destination}; there are {', '.join(names) or 'none'}"
        )
    templates = load_templates()
    pipeline = load_models(settings.model, templates, print).pipeline_for(called)
    found = answer(file.read_bytes(), pipeline=pipeline)
    if found.prediction is None:
        reasons = "; ".join(finding.message for finding in found.quality.findings)
        raise UnsupportedInstance(f"there is no estimate, so that no message is sent: {reasons}")
    profile = profile_of(configured)
    message = compose_message(
        found.prediction,
        found.source,
        _form_beside(destination, settings),
        destination=destination,
        profile=profile,
        templates=templates,
    )
    if exact:
        sys.stdout.buffer.write(message.content)
        return
    typer.echo(message.content.decode(CODECS[profile.charset]).replace("\r", "\n"), nl=False)


def _form_beside(destination: str, settings: Settings) -> ResultForm:
    """Of the DICOM results that a message for the destination refers to."""
    from node.configured import build_routing

    routing = build_routing(settings)
    return routing.decide_for(destination).form_for(routing.destinations[destination])
