"""The node as it is installed, between Orthanc as its PACS and a RIS that acknowledges all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks.processes import AS_INSTALLED, PATIENCE_S, ROOT
from node.cli.orthanc import Orthanc
from node.hl7.stand_in import RisStandIn

RESULTS: Final = 4
"""Of an ECG: cine, summary and report to the PACS, the ORU message to the RIS."""


class LoadedNode:
    """A running node, and what its log tells of the ECGs it was given."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._log = log.open("rb")
        self._rest = b""
        self._uid_of: dict[str, str] = {}
        self._delivered_s: dict[str, list[float]] = {}

    def wait_until_ready(self) -> dict[str, int]:
        """Its ports by service. Raises AssertionError (it ended, or took too long)."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s and self._process.poll() is None:
            for line in self._new_lines():
                if line["message"] == "node ready":
                    found = re.findall(r"(\w+):(\d+)", json.dumps(line))
                    return {name: int(port) for name, port in found}
            time.sleep(0.1)
        raise AssertionError("the node did not get ready: run `cardionode check`")

    def answered(self) -> dict[str, float]:
        """When the last result of an ECG was acknowledged, by the ECG's SOP Instance UID.

        Seconds of the epoch. Without those that lack a result yet.
        """
        for line in self._new_lines():
            if line["message"] == "instance accepted":
                self._uid_of[line["job_id"]] = line["sop_instance_uid"]
            elif line["message"] == "delivery attempted" and line["state"] == "delivered":
                at_s = datetime.fromisoformat(line["at"]).timestamp()
                self._delivered_s.setdefault(line["job_id"], []).append(at_s)
        return {
            self._uid_of[job_id]: max(times)
            for job_id, times in self._delivered_s.items()
            if len(times) == RESULTS
        }

    def _new_lines(self) -> Iterator[dict[str, str]]:
        *lines, self._rest = (self._rest + self._log.read()).split(b"\n")
        return (json.loads(line) for line in lines if line.startswith(b"{"))


@contextmanager
def hospital(folder: Path) -> Iterator[tuple[LoadedNode, int]]:
    """A node with its default configuration and two destinations, and its DICOM port."""
    pacs, ris = Orthanc({"MaximumPduLength": 131072}), RisStandIn()
    try:
        configuration = folder / "node.toml"
        configuration.write_text(_configuration(pacs.start(), ris.start()), encoding="utf-8")
        log = folder / "node.log"
        with log.open("wb") as told:
            process = subprocess.Popen(
                [sys.executable, "-m", "node", "serve", "--home", str(folder / "home"),
                 "--config", str(configuration)],
                cwd=ROOT, env=AS_INSTALLED, stderr=told, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            node = LoadedNode(process, log)
            yield node, node.wait_until_ready()["dicom"]
        finally:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
    finally:
        pacs.stop()
        ris.stop()


def _configuration(pacs_port: int, ris_port: int) -> str:
    return f"""
dicom.port = 0
hl7.port = 0
web.port = 0
log.form = "json"
[destinations.PACS]
kind = "dicom"
ae_title = "{Orthanc.ae_title}"
host = "127.0.0.1"
port = {pacs_port}
[destinations.RIS]
kind = "hl7"
host = "127.0.0.1"
port = {ris_port}
"""
