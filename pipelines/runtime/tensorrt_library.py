"""NVIDIA's two libraries, TensorRT and TensorRT for RTX, taken as one: here is where they differ.

Their Python modules have the same surface for all that is used here, from TensorRT 10.16 on.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Self

from node.domain.errors import DeviceError

Progress = Callable[[str, float], None]
"""Told which graph is being built, and which share of it is done (0 to 1); must not raise."""
_LEAST_STEP: Final = 0.005


def unseen(graph: str, share: float) -> None:
    """The progress of an engine that nobody watches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Distribution:
    module: str
    title: str
    oldest: tuple[int, int]
    """Against which this code was checked."""
    install: str


_DISTRIBUTIONS: Final = {
    "tensorrt": _Distribution(
        module="tensorrt",
        title="TensorRT",
        oldest=(10, 16),
        install='pip install tensorrt-cu13 "cardionode[tensorrt]"',
    ),
    "tensorrt-rtx": _Distribution(
        module="tensorrt_rtx",
        title="TensorRT for RTX",
        oldest=(1, 7),
        install='pip install "cardionode[tensorrt-rtx]"',
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRtLibrary:
    """One of the two as it is installed here."""

    name: str
    """As in `model.runtime`."""
    title: str
    version: str
    module: Any = field(repr=False)
    log: Any = field(repr=False)
    """An ILogger that keeps the last error."""

    @classmethod
    def find(cls, name: str) -> Self:
        """Raises DeviceError (not installed, cannot be loaded, too old)."""
        known = _DISTRIBUTIONS[name]
        try:
            module = importlib.import_module(known.module)
        except ModuleNotFoundError as error:
            raise DeviceError(f"{known.title} is not installed: {known.install}") from error
        except (ImportError, OSError) as error:
            raise DeviceError(
                f"{known.title} cannot be loaded ({error}); install it again: {known.install}"
            ) from error
        version: str = module.__version__
        numbers = version.split(".")
        if tuple(int(part) for part in numbers[:2]) < known.oldest:
            oldest = ".".join(str(part) for part in known.oldest)
            raise DeviceError(
                f"{known.title} {version} is too old, {oldest} is needed: {known.install}"
            )
        return cls(
            name=name,
            title=known.title,
            version=".".join(numbers[:3]),
            module=module,
            log=_log_of(module),
        )

    def start(self, part: str) -> Any:
        """Its Builder or its Runtime. Raises DeviceError (it cannot use what is here)."""
        self.log.last_error = ""
        try:
            return getattr(self.module, part)(self.log)
        except (RuntimeError, TypeError) as error:  # TypeError: how pybind11 says "nothing"
            raise DeviceError(
                f"{self.title} {self.version} cannot start its {part} "
                f"({self.log.last_error or error}); see nvidia-smi and the kernel's log"
            ) from error

    @property
    def is_for_rtx(self) -> bool:
        return self.name == "tensorrt-rtx"

    @property
    def network_flags(self) -> int:
        """Precision is what the graph says; only before 11 this has to be asked for."""
        if self.is_for_rtx or not self.version.startswith("10."):
            return 0
        return 1 << int(self.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

    def aim(self, config: Any, capabilities: Sequence[str]) -> None:
        """Build for these GPUs, e.g. "89"; TensorRT builds for the one that is here.

        Raises DeviceError (a GPU that TensorRT for RTX does not serve).
        """
        if not self.is_for_rtx:
            return
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            target = getattr(self.module.ComputeCapability, f"SM{capability}", None)
            if target is None or not config.set_compute_capability(target, index):
                raise DeviceError(
                    f"{self.title} {self.version} does not serve GPUs of compute capability "
                    f'{capability}; set model.runtime = "tensorrt" or "onnx"'
                )

    def time_with(self, config: Any, timings: bytes) -> None:
        """Let the builder take what it has timed before; TensorRT for RTX times nothing."""
        if not self.is_for_rtx:
            config.set_timing_cache(config.create_timing_cache(timings), False)

    def timings(self, config: Any) -> bytes:
        """What the builder has timed, to be kept for the next."""
        return b"" if self.is_for_rtx else bytes(config.get_timing_cache().serialize())

    def context(self, engine: Any) -> Any:
        """An execution context whose scratch memory its owner gives; None where that fails."""
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(
            self.module.ExecutionContextAllocationStrategy.USER_MANAGED
        )
        if self.is_for_rtx:
            # By default it compiles kernels for a shape behind the first runs, then changes over to
            # them: the same inputs would not give the same bytes.
            strategy = self.module.DynamicShapesKernelSpecializationStrategy.EAGER
            config.dynamic_shapes_kernel_specialization_strategy = strategy
        return engine.create_execution_context(config)

    def monitor(self, graph: str, progress: Progress) -> Any:
        """An IProgressMonitor that tells of a graph's building, and ends it once `cancelled`."""
        return _monitor(self.module, graph, progress)


@cache
def _log_of(module: Any) -> Any:
    """One a module: the libraries take only the first that they are given in a process."""

    class ErrorLog(module.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            module.ILogger.__init__(self)
            self.last_error = ""

        def log(self, severity: Any, msg: str) -> None:
            if severity in (module.ILogger.ERROR, module.ILogger.INTERNAL_ERROR):
                self.last_error = " ".join(msg.split())

    return ErrorLog()


@dataclass(slots=True, kw_only=True)
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


def _monitor(module: Any, graph: str, progress: Progress) -> Any:
    """Phases lie in phases; a phase is as far as its finished steps and the furthest inside it."""

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.cancelled = False
            self.told = 0.0
            self.phases: dict[str, _Phase] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self.phases[phase_name] = _Phase(parent=parent_phase, steps=max(1, num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self.phases:
                self.phases[phase_name].done = step + 1
            share = max((self.share(*root) for root in self.inside(None)), default=0.0)
            if share >= self.told + _LEAST_STEP:
                self.told = share
                progress(graph, share)
            return not self.cancelled

        def phase_finish(self, phase_name: str) -> None:
            self.phases.pop(phase_name, None)

        def inside(self, parent: str | None) -> list[tuple[str, _Phase]]:
            return [item for item in self.phases.items() if item[1].parent == parent]

        def share(self, name: str, phase: _Phase) -> float:
            furthest = max((self.share(*child) for child in self.inside(name)), default=0.0)
            return min(1.0, (phase.done + furthest) / phase.steps)

    return Monitor()
