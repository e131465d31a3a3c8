"""How commands over long work show how far they are."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress


def progress_bar() -> Progress:
    """On the error stream: what a command prints stays its result."""
    return Progress(console=Console(stderr=True))


def plain_console() -> Console:
    """For paths and figures: printed as they are."""
    return Console(highlight=False, markup=False, soft_wrap=True)
