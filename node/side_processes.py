"""Processes beside the node's for pure work: Python computes on one core a process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context, parent_process
from typing import Final, TypeVar

from node.allocation import spare_what_stays
from node.domain.errors import ConfigurationError, DeviceError, Interrupted
from node.engine.niceness import step_back
from node.shared_memory import SharedMemory, call

Made = TypeVar("Made")


class SideProcesses:
    """So many processes that compose results; they end with the node, however it ends.

    Thread safety: work may be asked for from any thread; `start` and `stop` belong to the node.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._lock = threading.Lock()
        self._executor: ProcessPoolExecutor | None = None
        """None before the start and after the end."""

    def start(self) -> None:
        """Start them in the background: the first ECG finds them ready.

        Raises ConfigurationError (this machine gives no processes).
        """
        try:
            self._executor = _new_executor(self.count)
            for _ in range(self.count):
                self._executor.submit(os.getpid)
        except OSError as error:
            raise ConfigurationError(
                f"cannot start the processes that compose results ({error.strerror}); set "
                "model.at_once = 1 to do without, or allow the node more processes and /dev/shm"
            ) from error

    def stop(self) -> None:
        """End them; what they have not begun is not done."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True, cancel_futures=True)

    def __call__(self, work: Callable[..., Made], *given: object) -> Made:
        """What `work` makes of what it is given; both must be picklable (node.workflow.ports.Run).

        Raises what `work` raises, DeviceError (a process was killed or could not be started: the
        work can be done again), Interrupted (the node is being stopped).
        """
        executor = self._executor
        try:
            with SharedMemory() as memory:
                packed = self._submitted(executor, call, memory.place, work, *given).result()
                made: Made = memory.load(packed)
                return made
        except CancelledError as error:
            raise Interrupted(_STOPPING) from error
        except BrokenProcessPool as error:
            self._replace(executor)
            raise DeviceError(
                "a process that composes results was killed; the work is done again. If this comes "
                "back, give the node more memory or set a smaller model.at_once"
            ) from error

    def _submitted(
        self, executor: ProcessPoolExecutor | None, work: Callable[..., Made], *given: object
    ) -> Future[Made]:
        if executor is None:
            raise Interrupted(_STOPPING)
        try:
            return executor.submit(work, *given)
        except BrokenProcessPool:
            raise
        except OSError as error:
            raise DeviceError(
                f"no process can be started to compose results ({error.strerror}); the work is "
                "done again"
            ) from error
        except RuntimeError as error:  # it was shut down a moment ago
            raise Interrupted(_STOPPING) from error

    def _replace(self, broken: ProcessPoolExecutor | None) -> None:
        """New processes, once for all who waited for the old."""
        with self._lock:
            if broken is None or self._executor is not broken:
                return
            broken.shutdown(wait=False)
            try:
                self._executor = _new_executor(self.count)
            except OSError:
                return  # the next ECG tries again


def forget_the_former() -> None:
    """Let go what this process had beside it before it started anew, and which has ended since.

    Call it while it has none yet.
    """
    with suppress(ChildProcessError):  # there is none
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


_STOPPING: Final = "the node is being stopped; the job goes on at the next start"


def _new_executor(count: int) -> ProcessPoolExecutor:
    # Not forked: the node has threads, and what they hold would be held for ever.
    context = get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context, initializer=_begin_beside)


def _begin_beside() -> None:
    """In a new process: it ends when the node says so, or has ended.

    A service manager sends SIGTERM to all, a terminal SIGINT: those mean the node. SIGTERM of the
    node's own is how the executor ends what may hold a lock when another process was killed.
    """
    step_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before there is another thread
    for ending in (_obey_the_node, _end_with_the_node):
        threading.Thread(target=ending, daemon=True).start()
    import node.workflow.compose  # noqa: F401  what takes longest, before the first ECG

    spare_what_stays()


def _obey_the_node() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(1)


def _end_with_the_node() -> None:
    node = parent_process()
    assert node is not None  # every process here is a child
    node.join()
    os._exit(1)
