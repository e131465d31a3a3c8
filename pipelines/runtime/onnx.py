"""ONNX Runtime on the CPU: the default in fp32, int8 where it is asked for; bitwise repeatable."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from node.domain.errors import BundleError
from pipelines.graph_spec import Sizes
from pipelines.runtime import Array, Feed, Tensor, failed, finite
from pipelines.runtime.int8 import int8, sums_are_exact

PROVIDERS: Final = ["CPUExecutionProvider"]
ERRORS_ONLY: Final = 3
_DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(bool)": "bool",
}
_FAILURES: Final = (
    failures.EPFail,
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NoModel,
    failures.NoSuchFile,
    failures.NotFound,
    failures.NotImplemented,
    failures.RuntimeException,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSession:
    """One graph in ONNX Runtime; the runtime allows `run` from several threads at once."""

    graph: str
    """File name, for messages."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inference: Any = field(repr=False)

    def run(self, inputs: Feed) -> dict[str, Array]:
        names = [tensor.name for tensor in self.outputs]
        try:
            values = self.inference.run(names, dict(inputs))
        except (*_FAILURES, ValueError) as error:
            raise failed(self.graph, error) from error
        return finite(self.graph, dict(zip(names, values, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRuntime:
    """Loads ONNX files for the CPU."""

    threads: int
    precision: str = "fp32"

    @property
    def name(self) -> str:
        found = f"onnxruntime {onnxruntime.__version__} CPU"
        if self.precision == "int8" and sums_are_exact():
            return f"{found}, weights of 8 bits"  # without: of 7, whose answers are others
        return found

    def load(self, path: Path, sizes: Sizes) -> OnnxSession:
        """A session of any sizes.

        Raises BundleError (not a graph this runtime serves), DeviceError (int8 without onnx).
        """
        onnxruntime.disable_telemetry_events()
        graph = int8(path) if self.precision == "int8" else str(path)
        try:
            inference = onnxruntime.InferenceSession(
                graph, sess_options=_options(self.threads), providers=PROVIDERS
            )
        except _FAILURES as error:
            raise BundleError(
                f"{path.name} is not a graph that {self.name} can load "
                f"({type(error).__name__}); export the bundle again or install its release"
            ) from error
        if inference.get_providers() != PROVIDERS:
            raise BundleError(
                f"{path.name} was loaded on {', '.join(inference.get_providers())}, not on the "
                "CPU; install the plain onnxruntime package"
            )
        return OnnxSession(
            graph=path.name,
            inputs=tuple(_tensor(value) for value in inference.get_inputs()),
            outputs=tuple(_tensor(value) for value in inference.get_outputs()),
            inference=inference,
        )


def _options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Waiting threads that spin take the cores of whoever else works here: 2 to 5 times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = ERRORS_ONLY
    return options


def _tensor(value: Any) -> Tensor:
    return Tensor(
        name=value.name, dtype=_DTYPES.get(value.type, value.type), shape=tuple(value.shape)
    )
