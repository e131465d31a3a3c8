"""CUDA's runtime by NVIDIA's own bindings (extra `tensorrt`): the GPU, its memory, its work."""

from __future__ import annotations

import importlib
import logging
import re
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Self

from numpy.typing import NDArray

from node.domain.errors import DeviceError

FIRST: Final = 0
"""The GPU that is used; CUDA_VISIBLE_DEVICES says which that is."""
DRIVER_FILES: Final = (Path("/sys/module/nvidia/version"), Path("/proc/driver/nvidia/version"))
"""Where the driver's kernel module says its release; a container may have one, or neither."""
RELEASE: Final = re.compile(r"\d+(\.\d+)+")
Play = Callable[[], None]
"""Puts work on a stream."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """What an engine is built for."""

    name: str
    capability: str
    """E.g. "90"."""
    driver: str
    """Its release, e.g. "580.95.05"; nothing where its kernel module is out of sight, as in WSL."""
    cuda: str
    """What CUDA the driver serves, e.g. "13.0": the same for many of its releases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuda:
    """CUDA's functions by name; whatever is not success is a DeviceError."""

    runtime: Any = field(repr=False)
    gpu: Gpu

    @classmethod
    def find(cls) -> Self:
        """Raises DeviceError (bindings, driver or GPU are not here)."""
        try:
            runtime = importlib.import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise DeviceError(
                "the package cuda-bindings is not installed: pip install "
                '"cardionode[tensorrt]" or "cardionode[tensorrt-rtx]"'
            ) from error
        code, count = runtime.cudaGetDeviceCount()
        if code != runtime.cudaError_t.cudaSuccess or not count:
            raise DeviceError(
                f"CUDA finds no NVIDIA GPU ({code.name}): install NVIDIA's driver for CUDA 13, and "
                "let a container have the GPU"
            )
        (properties,) = _call(runtime, "cudaGetDeviceProperties", FIRST)
        (cuda,) = _call(runtime, "cudaDriverGetVersion")
        return cls(
            runtime=runtime,
            gpu=Gpu(
                name=properties.name.decode().rstrip("\0"),
                capability=f"{properties.major}{properties.minor}",
                driver=_driver_release(),
                cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
            ),
        )

    def call(self, function: str, *arguments: object) -> Any:
        """What the function gives beside its code: nothing, or one value. Raises DeviceError."""
        values = _call(self.runtime, function, *arguments)
        return values[0] if values else None


def _call(runtime: Any, function: str, *arguments: object) -> tuple[Any, ...]:
    code, *values = getattr(runtime, function)(*arguments)
    if code != runtime.cudaError_t.cudaSuccess:
        raise DeviceError(
            f"the GPU failed ({function}: {code.name}, {int(code)}); see nvidia-smi and the "
            "kernel's log"
        )
    return tuple(values)


def _driver_release() -> str:
    for file in DRIVER_FILES:
        with suppress(OSError):
            if found := RELEASE.search(file.read_text(encoding="ascii", errors="replace")):
                return found[0]
    return ""


class DeviceMemory:
    """Bytes on the GPU, given back when nothing refers to them any more."""

    def __init__(self, cuda: Cuda, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.address: int = cuda.call("cudaMalloc", max(1, size_bytes))
        _give_back(self, cuda.runtime.cudaFree, self.address)


class Stream:
    """Work for the GPU, done in order, and beside whatever else it does."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._handle = cuda.call("cudaStreamCreateWithFlags", cuda.runtime.cudaStreamNonBlocking)
        self.handle = int(self._handle)
        _give_back(self, cuda.runtime.cudaStreamDestroy, self._handle)

    def copy_in(self, memory: DeviceMemory, array: NDArray[Any]) -> None:
        """The array, C-contiguous, must live until `wait` is over."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(memory.address, array.ctypes.data, array.nbytes, kind)

    def copy_out(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """The array, C-contiguous, is filled once `wait` is over."""
        kind = self._cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, memory.address, array.nbytes, kind)

    def _copy(self, to: int, source: int, size_bytes: int, kind: Any) -> None:
        if size_bytes:
            self._cuda.call("cudaMemcpyAsync", to, source, size_bytes, kind, self._handle)

    def wait(self) -> None:
        """Until all of it is done. Raises DeviceError (of whatever failed on the way)."""
        self._cuda.call("cudaStreamSynchronize", self._handle)

    def capture(self, play: Play) -> Play:
        """What puts all that `play` does on the stream in one launch.

        It is `play` itself where CUDA cannot capture it, as the log then says: slower, and the same
        work.
        """
        mode = self._cuda.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        try:
            self._cuda.call("cudaStreamBeginCapture", self._handle, mode)
            try:
                play()
            finally:
                graph = self._cuda.call("cudaStreamEndCapture", self._handle)
            return self._launch_of(graph)
        except DeviceError as error:
            _say_not_captured(error.message)
            return play

    def _launch_of(self, graph: Any) -> Play:
        try:
            launchable = self._cuda.call("cudaGraphInstantiate", graph, 0)
        finally:
            self._cuda.call("cudaGraphDestroy", graph)

        def launch() -> None:
            self._cuda.call("cudaGraphLaunch", launchable, self._handle)

        _give_back(launch, self._cuda.runtime.cudaGraphExecDestroy, launchable)
        return launch


@cache
def _say_not_captured(why: str) -> None:
    """Once a reason: it would be the same for every shape of every graph."""
    _log.warning(
        "gpu work cannot be recorded: it is launched piece by piece, slower, with the same answers",
        extra={"fields": {"reason": why}},
    )


def _give_back(owner: object, destroy: Callable[..., object], handle: object) -> None:
    """Destroy the handle with its owner; a process that ends gives back everything by itself."""
    weakref.finalize(owner, destroy, handle).atexit = False
