"""A real PostgreSQL for tests: a cluster in a folder, reached by a socket in it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.conftest import absent

USER = "postgres"
"""Debian's, because a server refuses to be run by root."""


@contextmanager
def cluster() -> Iterator[str]:
    """Runs a server; gives the URL of its databases, to which a name is added."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        absent("PostgreSQL is not installed")
    # Short, because the path of a socket is; and the server's own to enter.
    folder = Path(mkdtemp(prefix="pg-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        data = folder / "data"
        _run(found[-1] / "initdb", "--username=cardionode", "--auth=trust", "-D", data)
        options = f"-c listen_addresses= -c unix_socket_directories={folder}"
        _run(found[-1] / "pg_ctl", "-D", data, "-w", "-o", options, "-l", folder / "log", "start")
        try:
            yield f"postgresql://cardionode@/{{name}}?host={folder}"
        finally:
            _run(found[-1] / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    words = [str(part) for part in command]
    if os.geteuid() == 0:
        words = ["runuser", "-u", USER, "--", *words]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)
