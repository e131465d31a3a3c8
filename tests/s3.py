"""An S3-compatible store for tests: moto's server, a process of its own on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.store import S3Store

from tests.conftest import absent
from tests.end_to_end.node_process import free_port

BUCKET = "node"
STARTS_WITHIN_S = 60.0
_PROGRAM = Path(sys.prefix) / "peers" / "s3"


class S3:
    """One that runs, with an empty bucket."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._process = process

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """All that is kept below it, by key."""
        store = S3Store(
            BUCKET, endpoint=self.endpoint_url, region="us-east-1", access_key_id="who",
            secret_access_key="ever", client_options={"allow_http": True},
        )  # fmt: skip
        keys = [found["path"] for batch in obstore.list(store, prefix) for found in batch]
        return {key: bytes(obstore.get(store, key).bytes()) for key in keys}


@contextmanager
def s3() -> Iterator[S3]:
    if not (_PROGRAM / "moto").is_dir():
        absent("no S3-compatible store is installed; `make peers` does it")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"PYTHONPATH": str(_PROGRAM)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        made = S3(port, process)
        request = urllib.request.Request(f"{made.endpoint_url}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=20).close()
        yield made
    finally:
        process.kill()
        process.wait(timeout=10)


def _wait_for(port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, "the S3-compatible store did not start"
            time.sleep(0.1)
        else:
            return
