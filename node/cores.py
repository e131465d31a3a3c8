"""How many cores this process may use: those it is bound to, and the time its control groups allow.

A container of two cores on a host of 64 sees all 64: threads for each would wait for one another.
Source: Linux, admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst (cpu.cfs_quota_us).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

OWN: Final = Path("/proc/self/cgroup")
GROUPS: Final = Path("/sys/fs/cgroup")
CONTROLLER: Final = "cpu"


def available_cores() -> int:
    """One at least; a part of a core counts as one."""
    bound = len(os.sched_getaffinity(0))
    return max(1, min([bound, *map(math.ceil, _allowed())]))


def _allowed() -> Iterator[float]:
    """Cores' worth of time, by each limit of the groups that the process is in."""
    with suppress(OSError, ValueError):  # nobody says how many: all
        for line in OWN.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _limits(GROUPS, path)
            elif CONTROLLER in controllers.split(","):
                yield from _limits(GROUPS / CONTROLLER, path)


def _limits(root: Path, path: str) -> Iterator[float]:
    """Of a group and of all that it lies in; in a container a path may lead nowhere."""
    group = root if ".." in path.split("/") else root / path.lstrip("/")
    for folder in (group, *group.parents):
        if folder.is_relative_to(root):
            with suppress(OSError, ValueError):
                yield _limit(folder)


def _limit(group: Path) -> float:
    """Raises OSError (the group has no limit), ValueError (it allows all)."""
    if (file := group / "cpu.max").exists():
        quota, period = map(int, file.read_text(encoding="utf-8").split())  # "max 100000": all
    else:
        quota, period = (
            int((group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8"))
            for name in ("quota", "period")
        )
    if quota < 0:
        raise ValueError("-1: all")
    return quota / period
