"""The console, and a browser that has not signed in yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.wire.web.console_server import Browser, ConsoleServer


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleServer]:
    with ConsoleServer(tmp_path) as server:
        yield server


@pytest.fixture
def browser(console: ConsoleServer) -> Browser:
    return Browser(console.port)
