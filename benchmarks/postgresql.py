"""A real PostgreSQL beside the node: a cluster in a folder, reached by a socket in it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

USER = "postgres"
"""Debian's, because a server refuses to be run by root."""


class Server:
    """One that runs, until it is stopped."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._control = programs / "pg_ctl"
        self._folder = folder
        self.address = ""
        """Where it listens besides: in a network of a test's own."""
        self.url = f"postgresql://cardionode@/{{name}}?host={folder}"
        """Of a database of it, to which a name is added."""

    def start(self) -> None:
        options = f"-c listen_addresses={self.address} -c unix_socket_directories={self._folder}"
        log = self._folder / "log"
        _run(self._control, "-D", self._data, "-w", "-o", options, "-l", log, "start")

    def listen(self, address: str, network: str) -> str:
        """At an address of a network, to all in it, after another start; its URL there."""
        self.stop()
        self.address = address
        with (self._data / "pg_hba.conf").open("a", encoding="ascii") as rules:
            rules.write(f"host all all {network} trust\n")
        self.start()
        return f"postgresql://cardionode@{address}/{{name}}"

    def stop(self) -> None:
        """As a crash does: connections end in the middle of what they do."""
        _run(self._control, "-D", self._data, "-m", "immediate", "-w", "stop")

    def runs(self) -> bool:
        """False where it has ended by itself, as it does when its disk has no room for its log."""
        words = _as_its_user(self._control, "-D", self._data, "status")
        return (
            subprocess.run(words, stdout=subprocess.DEVNULL, cwd="/", check=False).returncode == 0
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"


@contextmanager
def server(root: Path = Path("/tmp")) -> Iterator[Server]:
    """Runs a server of its own, in a new folder there.

    Raises FileNotFoundError where PostgreSQL is not installed.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise FileNotFoundError("PostgreSQL is not installed; `make peers` does it")
    # Short, because the path of a socket is; and the server's own to enter.
    folder = Path(mkdtemp(prefix="pg-", dir=root))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, USER, USER)
        data = folder / "data"
        _run(found[-1] / "initdb", "--username=cardionode", "--auth=trust", "-D", data)
        running = Server(found[-1], folder)
        running.start()
        try:
            yield running
        finally:
            if running.runs():
                running.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(*command: str | Path) -> None:
    words = _as_its_user(*command)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd="/", timeout=60)


def _as_its_user(*command: str | Path) -> list[str]:
    words = [str(part) for part in command]
    return ["runuser", "-u", USER, "--", *words] if os.geteuid() == 0 else words
