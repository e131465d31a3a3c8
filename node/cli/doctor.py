"""`cardionode doctor`: what is wrong here, and one archive for who helps, without a patient."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from node.cli.check import found_by_check
from node.cli.jobs import open_work
from node.cli.options import DEFAULT_HOME, Config, Home, Overrides
from node.domain.errors import CardioNodeError, ConfigurationError
from node.settings import Settings, WebSettings, read_settings
from node.support_bundle import (
    LOG_LINES,
    configuration,
    machine,
    state,
    support_bundle,
    told_checks,
    told_log,
    versions,
)

_ANSWERS_WITHIN_S: Final = 5.0
_JOURNAL_WITHIN_S: Final = 30.0
_NODE_SAYS: Final = ("healthz", "readyz", "metrics")
_UNIT: Final = "cardionode*.service"


def doctor(
    config: Config = None,
    home: Home = DEFAULT_HOME,
    overrides: Overrides = None,
    log: Annotated[
        Path | None,
        typer.Option("--log", help="File that the node logs to; without one the journal is read."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="The archive to write; one that is there stays.")
    ] = Path("cardionode-support.zip"),
) -> None:
    """Check the node, running or not, and pack what whoever helps wants to see.

    No patient, no result and no password is in it. Exit status 0 only where nothing is wrong.
    """
    settings = read_settings(config, overrides or ())
    console = Console(highlight=False, soft_wrap=True)
    said = {name: _ask(settings.web, name) for name in _NODE_SAYS}
    is_running = said["healthz"] is not None
    checks = list(found_by_check(settings, home, is_running=is_running))
    files = {
        "versions.json": versions(),
        "machine.json": machine(),
        "configuration.json": configuration(settings),
        "checks.json": told_checks(checks),
        "state.json": _state(settings, home),
        "log.txt": told_log(_log_lines(log)),
        **{f"node/{name}": text for name, text in said.items() if text is not None},
    }
    archive = support_bundle(files, at=datetime.now(UTC))
    try:
        with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(archive)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {out}: {error.strerror}; name another with --out"
        ) from error
    problems = [f"{each.subject}: {each.problem}" for each in checks if each.problem is not None]
    if not is_running:
        problems.append(f"node: it does not answer on port {settings.web.port}; is it running?")
    for problem in problems:
        console.print(f"FAIL  {problem}", style="red", markup=False)
    console.print(f"{out}: {len(archive) // 1000 + 1} kB; its README.txt says what is in it")
    if problems:
        raise typer.Exit(1)


def _ask(web: WebSettings, name: str) -> str | None:
    """What the node that runs here answers; None where none does."""
    host = "127.0.0.1" if web.host in ("", "0.0.0.0") else web.host
    host = "[::1]" if host == "::" else host
    url = f"http://{host}:{web.port}/{name}"
    try:
        # It is on this machine: a proxy of the environment would answer for itself.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=_ANSWERS_WITHIN_S) as answer:
            return str(answer.read().decode("utf-8"))
    except urllib.error.HTTPError as error:  # it is there, and says what is wrong
        return error.read().decode("utf-8", errors="replace")
    except (OSError, HTTPException, UnicodeDecodeError):  # who is there is another
        return None


def _state(settings: Settings, home: Path) -> str:
    try:
        with open_work(settings, home) as work, work.look() as transaction:
            return state(transaction)
    except CardioNodeError as error:
        return f"{error.message}\n"


def _log_lines(file: Path | None) -> Sequence[str]:
    """Raises ConfigurationError."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
    journal = shutil.which("journalctl")
    if journal is None:
        return ()
    command = [journal, "--unit", _UNIT, "--output", "cat", "--lines", str(LOG_LINES), "--no-pager"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_JOURNAL_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return done.stdout.decode("utf-8", errors="replace").splitlines()
