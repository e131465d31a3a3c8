"""`cardionode conformance`: what this node says of itself to those who connect it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import Config, Overrides
from node.settings import read_settings


class Format(Enum):
    MARKDOWN = "markdown"
    HTML = "html"


def conformance(
    config: Config = None,
    overrides: Overrides = None,
    form: Annotated[
        Format, typer.Option("--format", help="markdown, or html for a browser.")
    ] = Format.MARKDOWN,
    hl7: Annotated[bool, typer.Option("--hl7", help="The HL7 statement instead.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", dir_okay=False, help="File; without one it is printed.")
    ] = None,
) -> None:
    """Print the DICOM Conformance Statement and the IHE integration statement of a configuration.

    With --hl7 what the node says of its messages, with examples. Both name addresses, AE titles and
    who may call, and no secret.
    """
    from node.configured import profiles_of
    from node.conformance.messages import message_statement
    from node.conformance.page import page
    from node.conformance.statement import conformance_statement

    settings = read_settings(config, overrides or ())
    name = "the annotated default" if config is None else config.name
    if overrides:
        name = f"{name}, with {', '.join(each.partition('=')[0] for each in overrides)} overridden"
    if hl7:
        text = message_statement(settings, name, profiles_of(settings))
    else:
        text = conformance_statement(settings, name)
    if form is Format.HTML:
        text = page(text, f"{'HL7' if hl7 else 'DICOM'} Conformance Statement")
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
