"""OpenVINO on the CPU (extra `openvino`): fp32, or bf16 where the processor has it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.domain.errors import BundleError, DeviceError
from pipelines.graph_spec import Sizes
from pipelines.runtime import Array, Feed, Tensor, failed, finite

PRECISIONS: Final = {"fp32": "f32", "bf16": "bf16"}
"""Ours -> OpenVINO's. Its own default is bf16 where the processor has it: always said."""
NEEDED: Final = {"fp32": "FP32", "bf16": "BF16"}
"""As OpenVINO names what a processor can do."""
_DTYPES: Final = {"f32": "float32", "f64": "float64", "i64": "int64", "boolean": "bool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoSession:
    """One graph in OpenVINO."""

    graph: str
    """File name, for messages."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    compiled: Any = field(repr=False)

    def run(self, inputs: Feed) -> dict[str, Array]:
        try:
            # A request each: two threads may not share one.
            found = self.compiled.create_infer_request().infer(dict(inputs))
        except (RuntimeError, TypeError) as error:
            raise failed(self.graph, error) from error
        values = {tensor.name: found[tensor.name].copy() for tensor in self.outputs}
        return finite(self.graph, values)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoRuntime:
    """Loads ONNX files for the CPU.

    Raises DeviceError (OpenVINO is not installed, or the processor lacks the precision).
    """

    threads: int
    precision: str = "fp32"
    core: Any = field(init=False, repr=False, compare=False)
    version: str = field(init=False)

    def __post_init__(self) -> None:
        try:
            import openvino
        except ImportError as error:
            raise DeviceError(
                'OpenVINO is not installed: pip install "cardionode[openvino]"'
            ) from error
        core = openvino.Core()
        able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if NEEDED[self.precision] not in able:  # else it computes in fp32 and does not say so
            raise DeviceError(
                f'this processor does not compute in {self.precision}; set model.precision = "fp32"'
            )
        object.__setattr__(self, "core", core)
        object.__setattr__(self, "version", openvino.__version__.partition("-")[0])

    @property
    def name(self) -> str:
        return f"OpenVINO {self.version} CPU"

    def load(self, path: Path, sizes: Sizes) -> OpenVinoSession:
        """As `Runtime.load`; of any sizes."""
        options = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[self.precision],
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # several sessions, one set of cores
        }
        try:
            model = self.core.read_model(path)
            compiled = self.core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise BundleError(
                f"{path.name} is not a graph that {self.name} can load; "
                'set model.runtime = "onnx", or export the bundle again'
            ) from error
        return OpenVinoSession(
            graph=path.name,
            inputs=tuple(_tensor(port) for port in model.inputs),
            outputs=tuple(_tensor(port) for port in model.outputs),
            compiled=compiled,
        )


def _tensor(port: Any) -> Tensor:
    dtype = port.get_element_type().get_type_name()
    return Tensor(
        name=port.get_any_name(),
        dtype=_DTYPES.get(dtype, dtype),
        shape=tuple(
            size.get_length() if size.is_static else None for size in port.get_partial_shape()
        ),
    )
