"""What a process and its children take up, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> Iterator[Path]:
    """The folders in /proc of a process and all it started."""
    folder = Path(f"/proc/{pid}")
    yield folder
    for task in folder.glob("task/*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from tree(int(child))


def rss_bytes(pid: int) -> int:
    total = 0
    for folder in tree(pid):
        with suppress(OSError):
            total += int((folder / "statm").read_text().split()[1]) * _PAGE_BYTES
    return total


def thread_count(pid: int) -> int:
    return sum(1 for folder in tree(pid) for _ in folder.glob("task/*"))


def cpu_s(pid: int) -> float:
    """User and system time."""
    ticks = 0
    for folder in tree(pid):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_A_SECOND
