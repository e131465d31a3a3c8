"""A PACS and a RIS around a node on this machine: to demonstrate it, and to load it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from node.cli.orthanc import Orthanc
from node.domain.errors import ConfigurationError
from node.domain.host import HostRole
from node.hl7.stand_in import RisStandIn

if TYPE_CHECKING:
    from node.dicom.stand_in import PacsStandIn

STARTS_WITHIN_S = 30.0
POLL_S = 0.1
Found = TypeVar("Found")


class PacsKind(Enum):
    """Who plays the PACS."""

    STAND_IN = "stand-in"
    ORTHANC = "orthanc"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningNode:
    """A node that is ready."""

    pid: int
    ports: dict[str, int]
    """By service."""


@contextmanager
def surroundings(
    pacs: PacsKind, folder: Path, *, pacs_keeps_mb: int = 0
) -> Iterator[tuple[PacsStandIn | Orthanc, RisStandIn, RunningNode]]:
    """A PACS, a RIS and a node as a process of its own, configured to know each other.

    pacs_keeps_mb: beyond it Orthanc forgets the patients of long ago; 0 keeps all.
    """
    from node.dicom.stand_in import PacsStandIn

    archive = (
        Orthanc({"MaximumStorageSize": pacs_keeps_mb})
        if pacs is PacsKind.ORTHANC
        else PacsStandIn(ae_title="PACS")
    )
    ris = RisStandIn()
    try:
        configuration = folder / "node.toml"
        configuration.write_text(
            _configuration(archive.ae_title, archive.start(), ris.start()), encoding="utf-8"
        )
        with serving(configuration, folder / "home", folder / "node.log") as node:
            yield archive, ris, node
    finally:
        archive.stop()
        ris.stop()


def _configuration(pacs_ae_title: str, pacs_port: int, ris_port: int) -> str:
    return f"""
dicom.port = 0
hl7.port = 0
web.port = 0
log.form = "json"
[destinations.PACS]
kind = "dicom"
ae_title = "{pacs_ae_title}"
host = "127.0.0.1"
port = {pacs_port}
[destinations.RIS]
kind = "hl7"
host = "127.0.0.1"
port = {ris_port}
"""


@contextmanager
def serving(
    configuration: Path, home: Path, log: Path, *, role: HostRole | None = None
) -> Iterator[RunningNode]:
    """`cardionode serve` as a process of its own, of all roles or of one, once it is ready."""
    serve = [sys.executable, "-m", "node", "serve", *(["--role", role] if role else [])]
    command = [*serve, "--config", str(configuration), "--home", str(home)]
    with log.open("ab") as file:
        process = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL)
    try:
        yield RunningNode(pid=process.pid, ports=_wait_until_ready(process, log))
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path) -> dict[str, int]:
    def ready() -> dict[str, int] | None:
        if process.poll() is not None:
            raise ConfigurationError(
                f"the node did not start:\n{log.read_text(encoding='utf-8')[-2000:]}"
            )
        for line in reversed(log.read_text(encoding="utf-8").splitlines()):
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("message") == "node ready":
                pairs = (pair.split(":") for pair in str(event["address"]).split())
                return {name: int(port) for name, port in pairs}
        return None

    try:
        return wait_for(ready, STARTS_WITHIN_S)
    except TimeoutError as error:
        raise ConfigurationError("the node did not become ready in time") from error


def wait_for(look: Callable[[], Found | None], within_s: float) -> Found:
    """What `look` finds, asked again and again. Raises TimeoutError."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        found = look()
        if found is not None:
            return found
        time.sleep(POLL_S)
    raise TimeoutError
