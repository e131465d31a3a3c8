"""DCMTK's programs; those that listen do so on every address, so only in a network of their own."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.cli.own_network import INSIDE
from tests.conftest import absent
from tests.end_to_end.node_process import free_port
from tests.wire.dicom.listening import soon

FOLDER = Path("/usr/bin")
"""A virtual environment may shadow their names with tools of pynetdicom's."""


def dcmtk(name: str) -> str:
    """The program's path."""
    program = FOLDER / name
    if not program.exists():
        absent("no DCMTK: apt-get install dcmtk")
    return str(program)


@contextmanager
def dcmtk_scp(name: str, *words: str | Path) -> Iterator[int]:
    """The port of an SCP that is started with these words and the port behind them."""
    program, port = dcmtk(name), free_port()
    if not os.environ.get(INSIDE):
        absent(f"{name} is only started in a network of its own; run the tests with `make test`")
    process = subprocess.Popen(
        [program, *words, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert soon(lambda: _is_open(port))
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
