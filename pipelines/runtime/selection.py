"""Which runtime serves a bundle: the configured one, or the best that is here and proves itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.domain.errors import ConfigurationError
from pipelines.runtime import Runtime
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.tensorrt_library import Progress, unseen

AUTO: Final = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the configuration asks for (`model.runtime` and its neighbours)."""

    runtime: str = AUTO
    precision: str = AUTO
    threads: int
    engines: Path
    """Folder of the engines that TensorRT has built on this machine."""
    building: Progress = field(default=unseen, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A runtime that may serve; made only when its turn comes."""

    name: str
    precision: str
    make: Callable[[], Runtime]
    """Raises DeviceError (its library or its device is not here)."""

    def __str__(self) -> str:
        return f"{self.name} {self.precision}"

    @property
    def is_cpu(self) -> bool:
        return self.name in _ON_CPU


PRECISIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "tensorrt": ("fp16", "fp32"),
    "tensorrt-rtx": ("fp16", "fp32"),
    "openvino": ("fp32", "bf16"),
    "onnx": ("fp32", "int8"),
}
"""By runtime, the best first; on a CPU fewer bits only where they are asked for."""
_ON_CPU: Final = ("openvino", "onnx")
_AUTO: Final = (("tensorrt", "fp16"), ("tensorrt", "fp32"), ("tensorrt-rtx", "fp16"),
                ("tensorrt-rtx", "fp32"), ("onnx", "fp32"))  # fmt: skip


def candidates(wish: Wish) -> Iterator[Candidate]:
    """In the order in which they are tried; the first that proves itself serves.

    With `auto` a GPU first, then ONNX Runtime on the CPU, which is always here.
    Raises ConfigurationError (no runtime offers the precision asked for).
    """
    offered: tuple[tuple[str, str], ...]
    if wish.runtime == AUTO:
        offered = _AUTO
    else:
        offered = tuple((wish.runtime, precision) for precision in PRECISIONS[wish.runtime])
        if wish.precision == AUTO and wish.runtime in _ON_CPU:
            offered = offered[:1]
    found = [each for each in offered if wish.precision in (AUTO, each[1])]
    if not found:
        names = ", ".join(f"{name} {precision}" for name, precision in offered)
        others = [name for name, all_of in PRECISIONS.items() if wish.precision in all_of]
        raise ConfigurationError(
            f"model.precision: {wish.precision} is not offered by model.runtime "
            f"{wish.runtime!r}, which offers {names}; {wish.precision} needs model.runtime = "
            + " or ".join(f'"{name}"' for name in others)
        )
    for name, precision in found:
        yield Candidate(name=name, precision=precision, make=_maker(name, precision, wish))


def _maker(name: str, precision: str, wish: Wish) -> Callable[[], Runtime]:
    if name == "onnx":
        return lambda: OnnxRuntime(threads=wish.threads, precision=precision)
    if name == "openvino":
        return lambda: _openvino(precision, wish)
    return lambda: _tensorrt(name, precision, wish)


def _openvino(precision: str, wish: Wish) -> Runtime:
    from pipelines.runtime.openvino import OpenVinoRuntime

    return OpenVinoRuntime(threads=wish.threads, precision=precision)


def _tensorrt(name: str, precision: str, wish: Wish) -> Runtime:
    from pipelines.runtime.tensorrt import TensorRtRuntime

    return TensorRtRuntime(
        library=name, precision=precision, engines=wish.engines, progress=wish.building
    )
