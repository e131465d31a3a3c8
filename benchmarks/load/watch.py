"""What a node holds while it works, looked at each second."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.machine import cpu_s, family, held_memory_mb

EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """By the node and the processes it has started."""

    at_s: float
    """Of the epoch."""
    memory_mb: float
    threads: int
    files: int
    """Open ones, sockets among them."""
    cpu_s: float


class Watch:
    """Within its `with` block, `held` grows."""

    def __init__(self, pid: int) -> None:
        self.held: list[Held] = []
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def __enter__(self) -> Self:
        self.held.append(_look(self._pid))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self.held.append(_look(self._pid))

    def _look_on(self) -> None:
        while not self._ended.wait(EVERY_S):
            with suppress(FileNotFoundError, ProcessLookupError):  # a process has just ended
                self.held.append(_look(self._pid))


def _look(pid: int) -> Held:
    pids = list(family(pid))
    return Held(
        at_s=time.time(),
        memory_mb=round(sum(map(held_memory_mb, pids)), 1),
        threads=sum(_count(f"/proc/{each}/task") for each in pids),
        files=sum(_count(f"/proc/{each}/fd") for each in pids),
        cpu_s=cpu_s(pid),
    )


def _count(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())
