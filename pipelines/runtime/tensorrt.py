"""TensorRT on an NVIDIA GPU (extras `tensorrt`, `tensorrt-rtx`): engines built here, kept here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnxruntime

from node.domain.errors import BundleError, DeviceError
from node.domain.identifiers import digest_of, sha256
from pipelines.graph_spec import Sizes
from pipelines.runtime.cuda import Cuda
from pipelines.runtime.engine_build import REVISION, build_engine
from pipelines.runtime.engine_cache import EngineCache
from pipelines.runtime.half_precision import RECIPE, half_precision
from pipelines.runtime.tensorrt_library import Progress, TensorRtLibrary, unseen
from pipelines.runtime.tensorrt_session import TensorRtSession

_TIMINGS: Final = "timings"
_MACHINE_DIGITS: Final = 16
"""Of its digest, in the names of files: 64 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRtRuntime:
    """Loads ONNX files for the GPU. Raises DeviceError (library, driver or GPU are not here)."""

    library: str
    """ "tensorrt" or "tensorrt-rtx"."""
    precision: str
    """ "fp16" or "fp32"."""
    engines: Path
    """Folder where engines are kept."""
    progress: Progress = field(default=unseen, repr=False, compare=False)
    tensorrt: TensorRtLibrary = field(init=False)
    cuda: Cuda = field(init=False)
    deserializer: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        cuda = Cuda.find()  # first: without a GPU the library, which is large, is not loaded
        library = TensorRtLibrary.find(self.library)
        object.__setattr__(self, "tensorrt", library)
        object.__setattr__(self, "cuda", cuda)
        object.__setattr__(self, "deserializer", library.start("Runtime"))

    @property
    def name(self) -> str:
        gpu = self.cuda.gpu
        return f"{self.tensorrt.title} {self.tensorrt.version} {gpu.name} SM{gpu.capability}"

    def load(self, path: Path, sizes: Sizes) -> TensorRtSession:
        """As `Runtime.load`; the first time on this machine it builds, for seconds to minutes."""
        try:
            graph = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{path.name} cannot be read ({error.strerror}); install the bundle's release again"
            ) from error
        cache = EngineCache(
            folder=self.engines, library=self.library, machine=self._machine()[:_MACHINE_DIGITS]
        )
        kept_as = self._plan_name(graph, sizes)
        plan = cache.read(kept_as)
        engine = None if plan is None else self.deserializer.deserialize_cuda_engine(plan)
        if engine is None:
            cache.prepare()
            cache.discard(kept_as)
            plan = self._build(graph, sizes, path.name, cache)
            engine = self.deserializer.deserialize_cuda_engine(plan)
            if engine is None:
                raise DeviceError(
                    f"{self.name} does not take the engine that it built of {path.name} "
                    f'({self.tensorrt.log.last_error}); set model.runtime = "onnx"'
                )
            cache.keep(kept_as, plan)
        return TensorRtSession(
            graph=path.name, engine=engine, library=self.tensorrt, cuda=self.cuda
        )

    def _build(self, graph: bytes, sizes: Sizes, name: str, cache: EngineCache) -> bytes:
        built = build_engine(
            self.tensorrt,
            half_precision(graph, name) if self.precision == "fp16" else graph,
            sizes,
            name=name,
            capabilities=(self.cuda.gpu.capability,),
            timings=cache.read(_TIMINGS) or b"",
            progress=self.progress,
        )
        if built.timings:
            cache.keep(_TIMINGS, built.timings)
        return built.plan

    def _machine(self) -> str:
        """What an engine is bound to: it runs nowhere else."""
        gpu = self.cuda.gpu
        return digest_of(
            "machine", self.library, self.tensorrt.module.__version__, gpu.name, gpu.capability,
            gpu.driver, gpu.cuda,
        )  # fmt: skip

    def _plan_name(self, graph: bytes, sizes: Sizes) -> str:
        """By all that the engine follows from; ONNX Runtime's tools make the fp16 graph."""
        ranges = (f"{name}:{tuple(each)}" for name, each in sorted(sizes.items()))
        halver = f"{RECIPE} {onnxruntime.__version__}" if self.precision == "fp16" else ""
        return digest_of(
            "plan", sha256(graph), self._machine(), REVISION, self.precision, halver, *ranges
        ) + ".plan"  # fmt: skip
