"""Processes beside the node's for pure work: Python computes on one core a process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from multiprocessing import get_context, parent_process
from typing import Final, TypeVar

from node.domain.errors import DeviceError, Interrupted

Made = TypeVar("Made")
COMPOSING: Final = "node.workflow.compose"


class SideProcesses:
    """So many processes that compose results; they end with the node, however it ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = threading.Lock()
        self._stopped = False
        self._executor = self._new_executor()

    def start(self) -> None:
        """Start them in the background: the first ECG finds them ready."""
        for _ in range(self.count):
            self._executor.submit(os.getpid)

    def stop(self) -> None:
        """End them; what they have not begun is not done."""
        self._stopped = True
        self._executor.shutdown(wait=True, cancel_futures=True)

    def __call__(self, work: Callable[..., Made], *given: object) -> Made:
        """What `work` makes of what it is given; both must be picklable (node.workflow.ports.Run).

        Raises what `work` raises, DeviceError (a process was killed: the work can be done again),
        Interrupted (the node is being stopped).
        """
        executor = self._executor
        try:
            return executor.submit(work, *given).result()
        except BrokenProcessPool as error:
            self._replace(executor)
            raise DeviceError(
                "a process that composes results was killed; the work is done again. If this comes "
                "back, give the node more memory or set a smaller model.at_once"
            ) from error
        except (CancelledError, RuntimeError) as error:
            if self._stopped:
                raise Interrupted("the node is being stopped; the job goes on then") from error
            raise

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """New processes, once for all who waited for the old."""
        with self._lock:
            if self._executor is broken and not self._stopped:
                self._executor = self._new_executor()
        broken.shutdown(wait=False)

    def _new_executor(self) -> ProcessPoolExecutor:
        # Not forked: the node has threads, and what they hold would be held for ever.
        return ProcessPoolExecutor(
            self.count, mp_context=get_context("spawn"), initializer=_begin_beside
        )


def _begin_beside() -> None:
    """In a new process: the node alone is told to stop, and this one ends when the node has."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_node, daemon=True).start()
    import_module(COMPOSING)


def _end_with_the_node() -> None:
    node = parent_process()
    assert node is not None  # every process here is a child
    node.join()
    os._exit(1)
