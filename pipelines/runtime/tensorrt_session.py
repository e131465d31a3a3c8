"""One engine on the GPU: for each shape of its inputs recorded once, then launched as a whole.

A recording (CUDA graph) fixes shapes, addresses and the state of its execution context. So each has
a context to itself, and all share memory of the largest size: a session runs one at a time.
Source: NVIDIA TensorRT, developer guide, CUDA graphs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import prod
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import DeviceError
from pipelines.runtime import Array, Feed, Tensor, failed, finite
from pipelines.runtime.cuda import Cuda, DeviceMemory, Play, Stream
from pipelines.runtime.engine_build import OPEN
from pipelines.runtime.tensorrt_library import TensorRtLibrary

Shape = tuple[int, ...]
Shapes = tuple[Shape, ...]
"""One an input."""
PROFILE: Final = 0
MOST_RECORDINGS: Final = 64
"""A drawing of the published size takes 16 of its trunk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recording:
    context: Any = field(repr=False)
    launch: Play = field(repr=False)
    outputs: dict[str, Shape]


class TensorRtSession:
    """A loaded graph (pipelines.runtime.Session); threads take turns."""

    def __init__(self, *, graph: str, engine: Any, library: TensorRtLibrary, cuda: Cuda) -> None:
        """graph: its file name, for messages. Raises DeviceError (e.g. too little memory)."""
        self.graph = graph
        self._engine = engine
        self._library = library
        self.inputs = _tensors(engine, library, library.module.TensorIOMode.INPUT)
        self.outputs = _tensors(engine, library, library.module.TensorIOMode.OUTPUT)
        self._ranges = {tensor.name: _range(engine, tensor) for tensor in self.inputs}
        self._stream = Stream(cuda)
        self._scratch = DeviceMemory(cuda, engine.device_memory_size_v2)
        self._memory = {
            name: DeviceMemory(cuda, size) for name, size in self._largest_bytes().items()
        }
        self._recordings: OrderedDict[Shapes, _Recording] = OrderedDict()
        self._lock = Lock()

    def run(self, inputs: Feed) -> dict[str, Array]:
        """As `Session.run`."""
        try:
            given = self._checked(inputs)
        except ValueError as error:
            raise failed(self.graph, error) from error
        with self._lock:
            try:
                outputs = self._answer(given)
            except RuntimeError as error:
                raise self._fault("run", type(error).__name__) from error
        return finite(self.graph, outputs)

    def _checked(self, inputs: Feed) -> list[NDArray[Any]]:
        """In the graph's order. Raises ValueError (not what the graph takes)."""
        if set(inputs) != set(self._ranges):
            raise ValueError(f"it takes {', '.join(self._ranges)}")
        given = [np.ascontiguousarray(inputs[tensor.name]) for tensor in self.inputs]
        for tensor, array in zip(self.inputs, given, strict=True):
            least, most = self._ranges[tensor.name]
            if array.dtype.name != tensor.dtype or not _within(array.shape, least, most):
                raise ValueError(f"{tensor.name} is {tensor.dtype} from {least} to {most}")
        return given

    def _answer(self, given: list[NDArray[Any]]) -> dict[str, Array]:
        for tensor, array in zip(self.inputs, given, strict=True):
            self._stream.copy_in(self._memory[tensor.name], array)
        # After the inputs: what is recorded is first run, and indices must be those of a table.
        recording = self._recording(tuple(array.shape for array in given))
        recording.launch()
        outputs = {
            tensor.name: np.empty(recording.outputs[tensor.name], tensor.dtype)
            for tensor in self.outputs
        }
        for name, array in outputs.items():
            self._stream.copy_out(array, self._memory[name])
        self._stream.wait()
        return outputs

    def _recording(self, shapes: Shapes) -> _Recording:
        """That of these shapes; the one not used for longest makes room."""
        if shapes not in self._recordings:
            self._recordings[shapes] = self._record(shapes)
            if len(self._recordings) > MOST_RECORDINGS:
                self._recordings.popitem(last=False)
        self._recordings.move_to_end(shapes)
        return self._recordings[shapes]

    def _record(self, shapes: Shapes) -> _Recording:
        context = self._context(shapes)
        for name, memory in self._memory.items():
            if not context.set_tensor_address(name, memory.address):
                raise self._fault("take memory for", name)

        def play() -> None:
            if not context.execute_async_v3(self._stream.handle):
                raise self._fault("run", self._library.log.last_error)

        play()  # the first run of a context still allocates, which no recording may
        self._stream.wait()
        return _Recording(
            context=context,
            launch=self._stream.capture(play),
            outputs={
                tensor.name: tuple(context.get_tensor_shape(tensor.name)) for tensor in self.outputs
            },
        )

    def _context(self, shapes: Shapes) -> Any:
        """A context that knows its shapes. Raises DeviceError."""
        context = self._library.context(self._engine)
        if context is None:
            raise self._fault("prepare", self._library.log.last_error)
        context.set_device_memory(self._scratch.address, self._scratch.size_bytes)
        for tensor, shape in zip(self.inputs, shapes, strict=True):
            if not context.set_input_shape(tensor.name, shape):
                raise self._fault("take the shape of", tensor.name)
        if unknown := context.infer_shapes():
            raise self._fault("infer the shape of", ", ".join(unknown))
        return context

    def _largest_bytes(self) -> dict[str, int]:
        """Of every input and output."""
        most = {tensor.name: self._ranges[tensor.name][1] for tensor in self.inputs}
        sizes = {
            tensor.name: prod(most[tensor.name]) * np.dtype(tensor.dtype).itemsize
            for tensor in self.inputs
        }
        context = self._context(tuple(most.values()))
        for tensor in self.outputs:
            sizes[tensor.name] = context.get_max_output_size(tensor.name)
            if sizes[tensor.name] < 0:
                raise self._fault("say the largest size of", tensor.name)
        return sizes

    def _fault(self, what: str, why: str) -> DeviceError:
        because = why or "it does not say why"
        return DeviceError(
            f"{self._library.title} could not {what} {self.graph} ({because}); see nvidia-smi and "
            "the kernel's log"
        )


def _tensors(engine: Any, library: TensorRtLibrary, mode: Any) -> tuple[Tensor, ...]:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return tuple(
        Tensor(
            name=name,
            dtype=np.dtype(library.module.nptype(engine.get_tensor_dtype(name))).name,
            shape=tuple(None if size == OPEN else size for size in engine.get_tensor_shape(name)),
        )
        for name in names
        if engine.get_tensor_mode(name) == mode
    )


def _range(engine: Any, tensor: Tensor) -> tuple[Shape, Shape]:
    """The least and the largest shape of an input."""
    if None not in tensor.shape:
        only = tuple(engine.get_tensor_shape(tensor.name))
        return only, only
    least, _, most = engine.get_tensor_profile_shape(tensor.name, PROFILE)
    return tuple(least), tuple(most)


def _within(shape: Shape, least: Shape, most: Shape) -> bool:
    return len(shape) == len(most) and all(
        low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
    )
