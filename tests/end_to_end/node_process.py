"""A node as its users run it: a process with a configuration file, that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from node.cli import app
from tests.end_to_end import forked
from tests.end_to_end.forked import ForkedCommand

BUNDLES = Path(__file__).resolve().parents[1] / "data" / "bundles"
STARTS_WITHIN_S = 60.0


_given: set[int] = set()
"""Ports that some test has been told are free; it may listen there later."""


def free_port() -> int:
    """A port nobody listens on now, and no connection is given meanwhile: below those."""
    while True:
        port = secrets.randbelow(16384) + 16384
        if port in _given:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port


class NodeProcess:
    """`cardionode serve` in a folder of its own, on the same ports at every start."""

    def __init__(
        self,
        folder: Path,
        *,
        bundle: str = "quick-test",
        bundles: Path = BUNDLES,
        at_once: int = 1,
        extra: str = "",
        role: str = "all",
        namespace: str | None = None,
    ) -> None:
        """at_once: with more than one, results are composed in processes that start first.

        role: several, too, with a space between. namespace: as `forked.ForkedCommand` has it.
        """
        self.tree: Path | None = None
        """Sources of another version, which `serve` is then of; those of this one, if None."""
        self._role = role
        self._namespace = namespace
        self.home = folder / "home"
        self.log = folder / "node.log"
        self.dicom_port, self.hl7_port, self.web_port = free_port(), free_port(), free_port()
        self.configuration = folder / "node.toml"
        self.configuration.write_text(
            f"""
dicom.port = {self.dicom_port}
hl7.port = {self.hl7_port}
web.port = {self.web_port}
log.form = "json"
model.bundle = "{bundle}"
model.folders = ["{bundles}"]
model.threads = 1
model.at_once = {at_once}
{extra}
""",
            encoding="utf-8",
        )
        self._process: subprocess.Popen[bytes] | ForkedCommand | None = None
        self._seen = 0

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        ready_before = len(self.events("node ready"))
        self._process = self._serve()
        until = time.monotonic() + STARTS_WITHIN_S
        while len(self.events("node ready")) == ready_before:
            if self._process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the node did not start:\n{self.text()[-3000:]}")
            time.sleep(0.05)

    def _serve(self) -> subprocess.Popen[bytes] | ForkedCommand:
        named = [] if self._role == "all" else self._role.split()
        roles = [word for role in named for word in ("--role", role)]
        words, nothing = ["serve", *self.options, *roles], Path("/dev/null")
        if self.command is None:
            return ForkedCommand(
                words, stdin=nothing, stdout=nothing, stderr=self.log, namespace=self._namespace
            )
        with self.log.open("ab") as log:
            return subprocess.Popen([*self.command, *words], stderr=log, stdin=subprocess.DEVNULL)

    def kill(self) -> None:
        """End it as a power cut would: no handler runs."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def stop(self) -> int:
        """Ask it to end; gives its exit status."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(timeout=40)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def command(self) -> list[str] | None:
        """What is put in place of `cardionode`, where another program starts it."""
        if self.tree is None:
            return None
        where = [f"--chdir={self.tree}", f"PYTHONPATH={self.tree}"]
        return ["env", *where, sys.executable, "-m", "node"]

    @property
    def options(self) -> list[str]:
        return ["--config", str(self.configuration), "--home", str(self.home)]

    def run(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Another `cardionode` command beside the node, and what a person types at its prompts."""
        return forked.run([*words, *self.options], typed=typed)

    def jobs(self) -> list[dict[str, Any]]:
        """`cardionode jobs list --json`, the oldest first; here, because it is asked for often."""
        words = ["jobs", "list", "--json", "--limit", "10000", *self.options]
        listed = CliRunner().invoke(app, words)
        assert listed.exit_code == 0, listed.output
        found: list[dict[str, Any]] = json.loads(listed.stdout)
        return found[::-1]

    def wait_for_jobs(self, done: Any, *, within_s: float = 60.0) -> list[dict[str, Any]]:
        """The jobs once `done(jobs)` holds."""
        until = time.monotonic() + within_s
        while True:
            asked = time.monotonic()
            jobs = self.jobs()
            if done(jobs):
                return jobs
            if time.monotonic() > until:
                raise AssertionError(f"not in time: {jobs}\n{self.text()[-3000:]}")
            # Peers that answer the node are threads here: the more there is to list, the rarer.
            time.sleep(max(0.1, 10.0 * (time.monotonic() - asked)))

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def events(self, message: str) -> list[dict[str, Any]]:
        """Every log line with that message."""
        lines = [line for line in self.text().splitlines() if message in line and line[:1] == "{"]
        parsed = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):  # the line a kill cut short
                parsed.append(json.loads(line))
        return [event for event in parsed if event["message"] == message]


class ProgramNode(NodeProcess):
    """Started by a command line of its own, by which it can start itself anew."""

    @property
    def command(self) -> list[str] | None:
        return [sys.executable, "-m", "node"]


def settled(count: int) -> Any:
    """Whether so many jobs are there, each with an end and nothing pending."""

    def done(jobs: list[dict[str, Any]]) -> bool:
        return len(jobs) == count and all(
            job["state"] != "received"
            and all(each["state"] != "pending" for each in job["deliveries"])
            for job in jobs
        )

    return done


def destinations(
    pacs_port: int, ris_port: int, *, retry_s: float = 0.3, host: str = "127.0.0.1"
) -> str:
    """Configuration of a PACS and a RIS, tried again quickly."""
    retry = f"retry_initial_s = {retry_s}\nretry_maximum_s = {max(1.0, retry_s)}\n"
    return f"""
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "{host}"
port = {pacs_port}
{retry}
[destinations.RIS]
kind = "hl7"
host = "{host}"
port = {ris_port}
{retry}"""
