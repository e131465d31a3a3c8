"""Trying what a configuration names, in plain words: the port, the peer, the disk."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from node.domain.errors import CardioNodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing tried."""

    subject: str
    problem: str | None
    """None when it is right; else what is wrong and what to do."""
    detail: str = ""


def outcome_of(name: str, steps: Iterable[Check], *, sends: bool) -> str:
    """What trying a destination came to, for the audit. sends: as the trial has it."""
    wrong = next((each.problem for each in steps if each.problem is not None), "all right")
    return f"{name}{', with test results' if sends else ''}: {wrong}"


def try_it(subject: str, attempt: Callable[[], str]) -> Check:
    """Run the attempt: its words when it succeeds, the error's when it does not."""
    try:
        return Check(subject=subject, problem=None, detail=attempt())
    except CardioNodeError as error:
        return Check(subject=subject, problem=error.message)


def check_port(subject: str, key: str, host: str, port: int) -> Check:
    """Whether the node could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            problem = f"cannot listen on {host}:{port}: {error.strerror}; change {key} or free it"
            return Check(subject=subject, problem=problem)
    return Check(subject=subject, problem=None, detail=f"{host}:{port} is free")


def check_disk(home: Path, minimum_free_bytes: int) -> Check:
    """Whether the home folder can be written and has room."""
    subject = "home folder"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / ".check"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return Check(subject=subject, problem=f"cannot write to {home}: {error.strerror}")
    free = shutil.disk_usage(home).free
    if free < minimum_free_bytes:
        problem = (
            f"{home} has {free // 1_000_000} MB free, storage.minimum_free_mb wants "
            f"{minimum_free_bytes // 1_000_000}; the node would refuse every instance"
        )
        return Check(subject=subject, problem=problem)
    return Check(subject=subject, problem=None, detail=f"{home}, {free // 1_000_000_000} GB free")
