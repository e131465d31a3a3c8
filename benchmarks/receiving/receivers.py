"""The receivers that are compared, each a process of its own with an empty store."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import cpu_s
from benchmarks.processes import AS_INSTALLED, ROOT
from benchmarks.receiving.driver import MAXIMUM_PDU
from node.cli.orthanc import PROGRAM as ORTHANC

STORESCP: Final = Path("/usr/bin/storescp")
"""DCMTK's; pynetdicom installs one of the same name."""
NODE: Final = "cardionode"
PEERS: Final = {
    NODE: "fsync of the bytes and of their folder entry, SQLite commit with synchronous FULL",
    "Orthanc": "fsync of the bytes; its index is committed without a sync",
    "DCMTK storescp": "syncs nothing, indexes nothing; a process an association",
    "DCMTK storescp +B": "as that, and the data set is written as it comes, unread",
}
"""What each has done before it answers success."""
STARTS_WITHIN_S: Final = 30.0
NO_DELAY: Final = {"TCP_NODELAY": "1"}
"""Read by DCMTK, and by Orthanc with it; without it Nagle's algorithm costs 40 ms a C-STORE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """A peer that takes ECGs."""

    port: int
    called_ae: str
    pid: int
    folder: Path

    def forget(self) -> None:
        """Empty what it has kept and reads no more: a minute of all fills 20 GB. Not Orthanc's.

        Emptied, not removed: who makes a file steps over all that were removed in the last minutes
        (ext4 gives their inodes to nobody), and what is measured next would pay for it.
        """
        for name in ("kept", "spool"):
            for folder, _, files in os.walk(self.folder / name):
                for file in files:
                    with contextlib.suppress(FileNotFoundError):  # it may get its name meanwhile
                        _empty(Path(folder, file))
        os.sync()  # none of it is to be written while the next is measured

    def cpu_s(self) -> float:
        """CPU seconds of its process and of those it has started, ended or not."""
        return cpu_s(self.pid)


@contextmanager
def started(name: str, folder: Path) -> Iterator[Receiver]:
    """One of PEERS, listening on loopback. Raises AssertionError (it does not start)."""
    words, environment, port, called_ae = _command(name, folder)
    process = subprocess.Popen(
        words, cwd=ROOT, env={**AS_INSTALLED, **environment}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=(folder / "log").open("wb"), text=True,
    )  # fmt: skip
    try:
        if not port:
            assert process.stdout is not None
            port = int(process.stdout.readline())
        _wait_for(port, process)
        yield Receiver(port=port, called_ae=called_ae, pid=process.pid, folder=folder)
    finally:
        process.terminate()
        process.communicate(timeout=STARTS_WITHIN_S)


def _empty(file: Path) -> None:
    if file.stat().st_size:
        os.truncate(file, 0)


def _command(name: str, folder: Path) -> tuple[list[str], Mapping[str, str], int, str]:
    """Words, environment, port (0: it tells on its output) and AE title."""
    if name == NODE:
        words = [sys.executable, "-m", "benchmarks.receiving.node_receiver", str(folder)]
        return words, {}, 0, "CARDIONODE"
    port = _free_port()
    if name == "Orthanc":
        file = folder / "orthanc.json"
        file.write_text(
            f'{{"StorageDirectory": "{folder}/store", "IndexDirectory": "{folder}/store",'
            f'"DicomAet": "ORTHANC", "DicomPort": {port}, "HttpServerEnabled": false,'
            f'"DicomAlwaysAllowStore": true, "MaximumPduLength": {MAXIMUM_PDU}, "Plugins": []}}',
            encoding="utf-8",
        )
        return [str(ORTHANC), str(file)], NO_DELAY, port, "ORTHANC"
    kept = folder / "kept"
    kept.mkdir()
    exact = ["+B"] if name.endswith("+B") else []
    words = [str(STORESCP), "--fork", *exact, "-pdu", str(MAXIMUM_PDU), "-od", str(kept), str(port)]
    return words, NO_DELAY, port, "STORESCP"


def _free_port() -> int:
    """Below those that connections are given: one that has ended would keep it for a minute."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", secrets.randbelow(16384) + 16384))
            return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{process.args!r} did not start: install Orthanc and DCMTK (README)")
