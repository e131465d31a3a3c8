"""Twins of TensorRT and of CUDA's runtime in the memory of this machine: same names, same calls.

An engine's kernels are ONNX Runtime's, so that what it gives are numbers. What NVIDIA's do not
allow fails here too: no kernel without a shape, an address and scratch memory; no recorded kernel
once its context has changed.
"""

from __future__ import annotations

import ctypes
import json
from collections import Counter
from collections.abc import Callable, Iterable
from enum import Enum, IntEnum
from typing import Any

import numpy as np
import onnx
import onnxruntime

SCRATCH_BYTES = 4096


class cudaError_t(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorNoDevice = 100
    cudaErrorIllegalAddress = 700
    cudaErrorStreamCaptureUnsupported = 900


class cudaMemcpyKind(IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class _Handle:
    def __init__(self, number: int) -> None:
        self.number = number

    def __int__(self) -> int:
        return self.number


class cudaStream_t(_Handle): ...


class cudaGraph_t(_Handle): ...


class cudaGraphExec_t(_Handle): ...


class cudaDeviceProp:
    name, major, minor = b"Twin GPU\0\0", 8, 9


class CudaTwin:
    """`cuda.bindings.runtime` with one GPU."""

    cudaStreamNonBlocking = 1
    cudaError_t = cudaError_t
    cudaMemcpyKind = cudaMemcpyKind
    cudaStreamCaptureMode = cudaStreamCaptureMode

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failing: dict[str, cudaError_t] = {}
        """Function -> what it gives from now on."""
        self.count = 1
        self.memory: dict[int, Any] = {}
        self.captured: list[Callable[[], None]] | None = None
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.alive: Counter[str] = Counter()

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if not name.startswith("cuda") or not callable(value) or isinstance(value, type):
            return value

        def counted(*arguments: Any) -> tuple[Any, ...]:
            self.calls[name] += 1
            if name in self.failing:
                if name == "cudaStreamEndCapture":
                    self.captured = None
                return self.failing[name], None
            return value(*arguments)  # type: ignore[no-any-return]

        return counted

    def cudaGetDeviceCount(self) -> tuple[Any, ...]:
        return (
            cudaError_t.cudaSuccess if self.count else cudaError_t.cudaErrorNoDevice
        ), self.count

    def cudaDriverGetVersion(self) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, 13020

    def cudaGetDeviceProperties(self, device: int) -> tuple[Any, ...]:
        return cudaError_t.cudaSuccess, cudaDeviceProp()

    def cudaMalloc(self, size: int) -> tuple[Any, ...]:
        bytes_ = ctypes.create_string_buffer(size)
        address = ctypes.addressof(bytes_)
        self.memory[address] = bytes_
        return cudaError_t.cudaSuccess, address

    def cudaFree(self, devPtr: int) -> tuple[Any, ...]:
        del self.memory[devPtr]
        return (cudaError_t.cudaSuccess,)

    def cudaMemcpyAsync(
        self, dst: int, src: int, count: int, kind: cudaMemcpyKind, stream: cudaStream_t
    ) -> tuple[Any, ...]:
        device = dst if kind == cudaMemcpyKind.cudaMemcpyHostToDevice else src
        if count > len(self.memory[device]):
            return (cudaError_t.cudaErrorIllegalAddress,)
        ctypes.memmove(dst, src, count)
        return (cudaError_t.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags: int) -> tuple[Any, ...]:
        self.alive["stream"] += 1
        return cudaError_t.cudaSuccess, cudaStream_t(7)

    def cudaStreamDestroy(self, stream: cudaStream_t) -> tuple[Any, ...]:
        self.alive["stream"] -= 1
        return (cudaError_t.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: cudaStream_t) -> tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: Any, mode: Any) -> tuple[Any, ...]:
        self.captured = []
        return (cudaError_t.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: Any) -> tuple[Any, ...]:
        graph = cudaGraph_t(len(self.graphs) + 1)
        self.graphs[int(graph)], self.captured = self.captured or [], None
        return cudaError_t.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[Any, ...]:
        self.alive["graph"] += 1
        return cudaError_t.cudaSuccess, cudaGraphExec_t(int(graph))

    def cudaGraphDestroy(self, graph: Any) -> tuple[Any, ...]:
        return (cudaError_t.cudaSuccess,)

    def cudaGraphExecDestroy(self, graphExec: Any) -> tuple[Any, ...]:
        self.alive["graph"] -= 1
        return (cudaError_t.cudaSuccess,)

    def cudaGraphLaunch(self, graphExec: Any, stream: Any) -> tuple[Any, ...]:
        for kernel in self.graphs[int(graphExec)]:
            kernel()
        return (cudaError_t.cudaSuccess,)

    def enqueue(self, kernel: Callable[[], None]) -> None:
        if self.captured is None:
            kernel()
        else:
            self.captured.append(kernel)


class DataType(Enum):
    FLOAT = "float32"
    HALF = "float16"
    INT64 = "int64"
    BOOL = "bool"


class TensorIOMode(Enum):
    INPUT = 1
    OUTPUT = 2


class BuilderFlag(Enum):
    TF32 = 1


class NetworkDefinitionCreationFlag(IntEnum):
    STRONGLY_TYPED = 1


class ExecutionContextAllocationStrategy(Enum):
    USER_MANAGED = 2


class DynamicShapesKernelSpecializationStrategy(Enum):
    EAGER = 1


class ComputeCapability(Enum):
    SM86 = 86
    SM89 = 89


class ILogger:
    ERROR, INTERNAL_ERROR, WARNING = "error", "internal error", "warning"


class IProgressMonitor: ...


class IHostMemory:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def __bytes__(self) -> bytes:
        return self.content


class ITimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> IHostMemory:
        return IHostMemory(self.content)


class ITensor:
    def __init__(self, value: Any) -> None:
        dims = value.type.tensor_type.shape.dim
        self.name: str = value.name
        self.shape = tuple(-1 if dim.dim_param else dim.dim_value for dim in dims)
        self.names = [dim.dim_param for dim in dims]

    def get_dimension_name(self, index: int) -> str:
        return self.names[index]


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self.flags = flags
        self.graph = b""
        self.inputs: list[ITensor] = []

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    def get_input(self, index: int) -> ITensor:
        return self.inputs[index]


class ParserError:
    def node_name(self) -> str:
        return "node_3"

    def node_operator(self) -> str:
        return "DFT"

    def desc(self) -> str:
        return "Plugin not found"


class OnnxParser:
    num_errors = 1

    def __init__(self, network: INetworkDefinition, logger: Any) -> None:
        self.network = network

    def parse(self, model: bytes) -> bool:
        proto = onnx.load_model_from_string(model)
        self.network.graph = model
        self.network.inputs = [ITensor(value) for value in proto.graph.input]
        return all(node.op_type != "DFT" for node in proto.graph.node)

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class IOptimizationProfile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def set_shape(self, input: str, min: Any, opt: Any, max: Any) -> None:
        if not all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)):
            raise ValueError("shapes are not in order")
        self.shapes[input] = (tuple(min), tuple(opt), tuple(max))


class IBuilderConfig:
    def __init__(self) -> None:
        self.cleared: list[Any] = []
        self.profile: IOptimizationProfile | None = None
        self.progress_monitor: Any = None
        self.num_compute_capabilities = 0
        self.capabilities: list[Any] = []
        self.cache: ITimingCache | None = None

    def clear_flag(self, flag: Any) -> None:
        self.cleared.append(flag)

    def add_optimization_profile(self, profile: IOptimizationProfile) -> int:
        self.profile = profile
        return 0

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        self.capabilities.append(compute_capability)
        return True

    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache:
        return ITimingCache(serialized_timing_cache)

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> ITimingCache:
        assert self.cache is not None
        return ITimingCache(self.cache.content + b"timed;")


class Builder:
    def __init__(self, logger: Any, library: LibraryTwin) -> None:
        self.logger = logger
        self.library = library

    def create_network(self, flags: int = 0) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        self.library.config = IBuilderConfig()
        return self.library.config

    def create_optimization_profile(self) -> IOptimizationProfile:
        return IOptimizationProfile()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> IHostMemory | None:
        self.library.builds += 1
        self.library.flags = network.flags
        monitor = config.progress_monitor
        monitor.phase_start("Building engine", None, 2)
        monitor.phase_start("Timing tactics", "Building engine", 4)
        for step in range(4):
            if not monitor.step_complete("Timing tactics", step):
                return None
        monitor.phase_finish("Timing tactics")
        for step in range(2):
            monitor.step_complete("Building engine", step)
        monitor.phase_finish("Building engine")
        if self.library.refuses_to_build:
            self.logger.log(ILogger.ERROR, "Error Code 2: out of\n memory")
            return None
        profile = {} if config.profile is None else config.profile.shapes
        head = json.dumps(profile).encode()
        return IHostMemory(b"%08d" % len(head) + head + network.graph)


class Runtime:
    def __init__(self, logger: Any, library: LibraryTwin) -> None:
        self.logger = logger
        self.library = library

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        if not serialized_engine[:8].isdigit() or self.library.refuses_engines:
            self.logger.log(ILogger.ERROR, "magic tag does not match")
            return None
        return ICudaEngine(serialized_engine, self.library)


class IRuntimeConfig:
    def __init__(self) -> None:
        self.strategy: Any = None
        self.dynamic_shapes_kernel_specialization_strategy: Any = None

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        self.strategy = strategy


class ICudaEngine:
    device_memory_size_v2 = SCRATCH_BYTES

    def __init__(self, plan: bytes, library: LibraryTwin) -> None:
        length = int(plan[:8])
        self.profile = json.loads(plan[8 : 8 + length])
        self.library = library
        graph = plan[8 + length :]
        self.kernels = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.given = {value.name: value for value in self.kernels.get_inputs()}
        self.tensors = self.given | {value.name: value for value in self.kernels.get_outputs()}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.given else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        kinds = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(bool)": "bool"}
        return DataType(kinds[self.tensors[name].type])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(d if isinstance(d, int) else -1 for d in self.tensors[name].shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self.profile[name]]

    def create_runtime_config(self) -> IRuntimeConfig:
        self.library.runtime_config = IRuntimeConfig()
        return self.library.runtime_config

    def create_execution_context(self, runtime_config: Any) -> IExecutionContext | None:
        self.library.contexts += 1
        return None if self.library.refuses_contexts else IExecutionContext(self)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine = engine
        self.library = engine.library
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}
        self.scratch = 0
        self.changes = 0

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size >= SCRATCH_BYTES and len(self.library.cuda.memory[memory]) >= size
        self.scratch = memory

    def set_input_shape(self, name: str, shape: Any) -> bool:
        declared = self.engine.get_tensor_shape(name)
        self.shapes[name] = tuple(shape)
        self.changes += 1
        return len(shape) == len(declared)

    def infer_shapes(self) -> list[str]:
        unknown = [name for name in self.engine.given if name not in self.shapes]
        if not unknown:
            values = {name: self._zeros(name) for name in self.engine.given}
            self.outputs = {
                name: value.shape
                for name, value in zip(self._names(), self._compute(values), strict=True)
            }
        return unknown

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (self.shapes | self.outputs)[name]

    def get_max_output_size(self, name: str) -> int:
        """Of the shapes set, which are the largest when it is asked."""
        return int(np.prod(self.outputs[name])) * 4 if name in self.outputs else -1

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        self.changes += 1
        return memory in self.library.cuda.memory

    def execute_async_v3(self, stream_handle: int) -> bool:
        ready = self.scratch and set(self.addresses) == set(self.engine.tensors)
        if not ready or not self.outputs or self.library.refuses_to_run:
            return False
        recorded_at = self.changes

        def kernel() -> None:
            assert self.changes == recorded_at, "its context has changed since it was recorded"
            values = {name: self._view(name) for name in self.engine.given}
            for name, value in zip(self._names(), self._compute(values), strict=True):
                self._view(name)[...] = value

        self.library.cuda.enqueue(kernel)
        return True

    def _names(self) -> Iterable[str]:
        return [name for name in self.engine.tensors if name not in self.engine.given]

    def _compute(self, values: dict[str, Any]) -> Any:
        return self.engine.kernels.run(list(self._names()), values)

    def _dtype(self, name: str) -> str:
        return str(self.engine.get_tensor_dtype(name).value)

    def _zeros(self, name: str) -> Any:
        return np.zeros(self.shapes[name], self._dtype(name))

    def _view(self, name: str) -> Any:
        shape, memory = self.get_tensor_shape(name), self.addresses[name]
        count = int(np.prod(shape))
        array = np.frombuffer(self.library.cuda.memory[memory], self._dtype(name), count)
        return array.reshape(shape)


class LibraryTwin:
    """The module `tensorrt` or `tensorrt_rtx`."""

    DataType, TensorIOMode, BuilderFlag = DataType, TensorIOMode, BuilderFlag
    NetworkDefinitionCreationFlag = NetworkDefinitionCreationFlag
    ExecutionContextAllocationStrategy = ExecutionContextAllocationStrategy
    DynamicShapesKernelSpecializationStrategy = DynamicShapesKernelSpecializationStrategy
    ComputeCapability = ComputeCapability
    ILogger, IProgressMonitor, OnnxParser = ILogger, IProgressMonitor, OnnxParser

    def __init__(self, cuda: CudaTwin, version: str) -> None:
        self.__version__ = version
        self.cuda = cuda
        self.builds = self.contexts = self.flags = 0
        self.config: IBuilderConfig | None = None
        self.runtime_config: IRuntimeConfig | None = None
        self.refuses_to_build = self.refuses_engines = self.refuses_contexts = False
        self.refuses_to_run = False

    def Builder(self, logger: Any) -> Builder:
        return Builder(logger, self)

    def Runtime(self, logger: Any) -> Runtime:
        return Runtime(logger, self)

    def nptype(self, trt_type: DataType) -> Any:
        return np.dtype(trt_type.value).type
