"""A real PostgreSQL for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import postgresql
from tests.conftest import absent

Server = postgresql.Server


@contextmanager
def server() -> Iterator[Server]:
    """Runs a server of its own."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(postgresql.server())
        except FileNotFoundError as error:
            absent(str(error))
        yield running
