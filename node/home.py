"""The home folder of a node: which processes hold it, and telling them something."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.domain.errors import ConfigurationError
from node.domain.host import ALL_ROLES, HostRole

_LOCK: Final = "lock"
"""Held by a node of all roles alone, or by processes of some roles together."""


def hold_home(home: Path, roles: frozenset[HostRole]) -> list[int]:
    """Make the home folder and hold it: two of one role in one home would take it for their own.

    Processes of other roles may share it, but none shares it with one of all roles. Gives the
    descriptors that hold it. Raises ConfigurationError.
    """
    is_whole = roles == ALL_ROLES
    wanted = [(home / _LOCK, fcntl.LOCK_EX if is_whole else fcntl.LOCK_SH)]
    if not is_whole:
        wanted += [(home / f"{_LOCK}-{role}", fcntl.LOCK_EX) for role in sorted(roles)]
    held: list[int] = []
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        for file, how in wanted:
            held.append(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
            fcntl.flock(held[-1], how | fcntl.LOCK_NB)
            os.ftruncate(held[-1], 0)
            if how == fcntl.LOCK_EX:
                os.pwrite(held[-1], str(os.getpid()).encode(), 0)
    except OSError as error:
        for descriptor in held:
            os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise ConfigurationError(
                f"another node runs in {home}; stop it, or choose another folder with --home"
            ) from error
        raise ConfigurationError(
            f"cannot use the home folder {home}: {error.strerror}; choose another with --home"
        ) from error
    return held


def holders(home: Path) -> Sequence[int]:
    """Process ids of those that hold the home folder.

    Raises ConfigurationError (who holds it cannot be seen from here).
    """
    found: set[int] = set()
    try:
        for file in sorted(each for each in home.iterdir() if each.name.startswith(_LOCK)):
            with file.open("rb") as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    pid = int(opened.read() or 0)
                    if not _has_open(pid, file):  # the number is of another container
                        raise ConfigurationError(
                            f"who runs in {home} cannot be seen from here, or is of an earlier "
                            "version: ask it where it runs, or start it again"
                        ) from None
                    found.add(pid)
    except OSError as error:
        raise ConfigurationError(
            f"cannot look into the home folder {home}: {error.strerror}; is --home right, and may "
            "this user?"
        ) from error
    return sorted(found)


def ask_to_renew(pids: Sequence[int]) -> None:
    """Have processes take their configuration up, all or none. Raises ConfigurationError."""
    for pid in pids:
        if not _hears(pid):  # to it, the signal would mean the end
            raise ConfigurationError(
                f"process {pid} runs in a terminal: end it there, and start it again"
            )
    for pid in pids:
        try:
            os.kill(pid, signal.SIGHUP)
        except OSError as error:
            raise ConfigurationError(f"process {pid} cannot be told: {error.strerror}") from error


def _has_open(pid: int, file: Path) -> bool:
    """Whether it is a process here that has the file open."""
    with suppress(OSError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if each.samefile(file):
                    return True
    return False


def _hears(pid: int) -> bool:
    """Whether it does something of its own at SIGHUP."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        for line in status.splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGHUP - 1) & 1)
    return False
