"""Models for a command: what takes long on the way is said beside its output."""

from __future__ import annotations

import typer

from node.dicom.template import Templates
from node.models import Models, load_models
from node.settings import ModelSettings


def load(settings: ModelSettings, templates: Templates) -> Models:
    """As `load_models`."""
    return load_models(settings, templates, _say, say_building)


def say_building(graph: str, share: float) -> None:
    """At each quarter of an engine that is not there yet."""
    _say(f"building the engine of {graph}: {share:.0%}")


def _say(line: str) -> None:
    typer.echo(line, err=True)
