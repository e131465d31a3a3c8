"""The home folder of a node: which processes hold it, and telling them something."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Sequence
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
    """Process ids of those that hold the home folder. Raises ConfigurationError."""
    found: set[int] = set()
    try:
        for file in sorted(home.glob(f"{_LOCK}*")):
            with file.open("rb") as opened:
                try:
                    fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.add(int(opened.read() or 0))
    except OSError as error:
        raise ConfigurationError(
            f"cannot look into the home folder {home}: {error.strerror}; is --home right, and may "
            "this user?"
        ) from error
    return sorted(found - {0})


def ask_to_renew(pid: int) -> None:
    """Have a process take its configuration up. Raises ConfigurationError."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
        if not int(caught, 16) >> (signal.SIGHUP - 1) & 1:  # to it, it would mean the end
            raise ConfigurationError(
                f"process {pid} runs in a terminal: end it there, and start it again"
            )
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is gone"
        raise ConfigurationError(f"process {pid} cannot be told: {reason}") from error
