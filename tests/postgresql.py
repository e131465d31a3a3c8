"""A real PostgreSQL for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import postgresql
from tests.conftest import absent

Server = postgresql.Server


@contextmanager
def server(root: Path = Path("/tmp")) -> Iterator[Server]:
    """Runs a server of its own, in a new folder there."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(postgresql.server(root))
        except FileNotFoundError as error:
            absent(str(error))
        yield running
