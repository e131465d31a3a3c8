"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="CARDIONODE_CONFIG",
        help="Configuration file; without one the annotated default is used.",
    ),
]
Home = Annotated[
    Path,
    typer.Option("--home", envvar="CARDIONODE_HOME", help="Folder that holds all state."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a key, e.g. --set dicom.port=11912. May be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

DEFAULT_HOME = Path.home() / ".cardionode"
