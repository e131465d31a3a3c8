"""The run half over twins of TensorRT and CUDA; not run on hardware."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from node.domain.errors import DeviceError, PredictionError
from pipelines.graph_spec import Range
from pipelines.runtime import Tensor
from pipelines.runtime import cuda as cuda_module
from pipelines.runtime.tensorrt import TensorRtRuntime
from pipelines.runtime.tensorrt_session import MOST_RECORDINGS, TensorRtSession
from tests.unit.runtime.conftest import SIZES
from tests.unit.runtime.nvidia_twin import CudaTwin, LibraryTwin, cudaError_t
from tests.unit.runtime.small_graphs import doubling, logarithm

Make = Callable[..., TensorRtRuntime]


@pytest.fixture
def session(make_runtime: Make, graph: Path) -> TensorRtSession:
    return make_runtime().load(graph, SIZES)


def _x(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)


def test_inputs_and_outputs_are_the_graphs_with_open_dimensions_nameless(
    session: TensorRtSession,
) -> None:
    assert session.inputs == (Tensor(name="x", dtype="float32", shape=(None, 3)),)
    assert session.outputs == (Tensor(name="y", dtype="float32", shape=(None, 3)),)


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_answer_is_the_graphs_in_float32(
    make_runtime: Make, graph: Path, precision: str
) -> None:
    answer = make_runtime(precision=precision).load(graph, SIZES).run({"x": _x(2)})
    assert answer["y"].dtype == np.float32
    np.testing.assert_array_equal(answer["y"], 2 * _x(2))


def test_a_shape_is_recorded_once_and_launched_as_a_whole_each_time(
    session: TensorRtSession, cuda: CudaTwin
) -> None:
    for rows in (1, 4, 1, 4, 1):
        np.testing.assert_array_equal(session.run({"x": _x(rows)})["y"], 2 * _x(rows))
    assert cuda.calls["cudaStreamBeginCapture"] == 2
    assert cuda.calls["cudaGraphLaunch"] == 5


def test_memory_is_taken_when_the_graph_is_loaded_and_no_more_later(
    session: TensorRtSession, cuda: CudaTwin
) -> None:
    taken = cuda.calls["cudaMalloc"]
    for rows in (1, 2, 3, 4):
        session.run({"x": _x(rows)})
    assert cuda.calls["cudaMalloc"] == taken == 3  # scratch, x, y


def test_an_answer_is_not_overwritten_by_the_next(session: TensorRtSession) -> None:
    first = session.run({"x": _x(2)})["y"]
    session.run({"x": -_x(2)})
    np.testing.assert_array_equal(first, 2 * _x(2))


def test_threads_take_turns_and_each_has_its_own_answer(session: TensorRtSession) -> None:
    inputs = [np.full((1 + turn % 4, 3), turn, np.float32) for turn in range(64)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda x: session.run({"x": x})["y"], inputs))
    for x, y in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(y, 2 * x)


def test_the_recordings_of_many_shapes_are_bounded(
    make_runtime: Make, graph: Path, cuda: CudaTwin
) -> None:
    session = make_runtime().load(graph, {"samples": Range(1, 2, 2 * MOST_RECORDINGS)})
    for rows in range(1, 2 * MOST_RECORDINGS):
        session.run({"x": _x(rows)})
    gc.collect()
    assert cuda.alive["graph"] == MOST_RECORDINGS


def test_a_session_that_nobody_has_any_more_gives_the_gpu_back(
    make_runtime: Make, graph: Path, cuda: CudaTwin
) -> None:
    session = make_runtime().load(graph, SIZES)
    session.run({"x": _x(1)})
    assert cuda.memory and +cuda.alive
    del session
    gc.collect()
    assert not cuda.memory and not +cuda.alive


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": _x(1), "z": _x(1)},
        {"x": _x(1).astype(np.float64)},
        {"x": _x(5)},
        {"x": _x(1)[:, :2]},
        {"x": _x(1)[0]},
    ],
    ids=["missing", "unknown", "dtype", "above the range", "width", "rank"],
)
def test_an_input_the_graph_does_not_take_is_no_answer_and_never_reaches_the_gpu(
    session: TensorRtSession, cuda: CudaTwin, inputs: dict[str, np.ndarray]
) -> None:
    before = cuda.calls.total()
    with pytest.raises(PredictionError, match=r"graph doubling\.onnx failed \(ValueError\)"):
        session.run(inputs)
    assert cuda.calls.total() == before


def test_an_input_that_is_a_view_is_taken_as_it_reads(session: TensorRtSession) -> None:
    x = np.asfortranarray(_x(4))
    np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * _x(4))


def test_infinity_is_no_answer(make_runtime: Make, tmp_path: Path) -> None:
    path = tmp_path / "logarithm.onnx"
    path.write_bytes(logarithm())
    session = make_runtime().load(path, {})
    with pytest.raises(PredictionError, match="gave NaN or infinity in output y"):
        session.run({"x": -np.ones((1, 3), np.float32)})


@pytest.mark.parametrize(
    "function", ["cudaMemcpyAsync", "cudaStreamSynchronize", "cudaGraphLaunch"]
)
def test_whatever_cuda_refuses_is_a_failure_of_the_device_by_its_name(
    session: TensorRtSession, cuda: CudaTwin, function: str
) -> None:
    session.run({"x": _x(1)})
    cuda.failing[function] = cudaError_t.cudaErrorIllegalAddress
    with pytest.raises(DeviceError, match=rf"{function}: cudaErrorIllegalAddress, 700"):
        session.run({"x": _x(1)})


def test_too_little_memory_is_a_failure_of_the_device(
    make_runtime: Make, graph: Path, cuda: CudaTwin
) -> None:
    cuda.failing["cudaMalloc"] = cudaError_t.cudaErrorMemoryAllocation
    with pytest.raises(DeviceError, match=r"cudaMalloc: cudaErrorMemoryAllocation, 2"):
        make_runtime().load(graph, SIZES)


@pytest.mark.parametrize("function", ["cudaStreamBeginCapture", "cudaStreamEndCapture",
                                      "cudaGraphInstantiate"])  # fmt: skip
def test_what_cannot_be_recorded_is_run_anew_each_time_and_said_once(
    make_runtime: Make, graph: Path, cuda: CudaTwin, function: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    cuda_module._say_not_captured.cache_clear()
    session = make_runtime().load(graph, SIZES)
    cuda.failing[function] = cudaError_t.cudaErrorStreamCaptureUnsupported
    for rows in (1, 2, 2, 4):
        np.testing.assert_array_equal(session.run({"x": _x(rows)})["y"], 2 * _x(rows))
    assert cuda.calls["cudaGraphLaunch"] == 0
    (said,) = caplog.records
    assert (said.levelno, said.args) == (logging.WARNING, ())
    assert "cannot be recorded" in said.getMessage()
    assert function in said.__dict__["fields"]["reason"]


def test_an_engine_that_does_not_run_is_a_failure_of_the_device(
    session: TensorRtSession, library: LibraryTwin
) -> None:
    library.refuses_to_run = True
    with pytest.raises(DeviceError, match=r"TensorRT could not run doubling\.onnx"):
        session.run({"x": _x(1)})


def test_an_engine_without_a_context_is_a_failure_of_the_device(
    make_runtime: Make, graph: Path, library: LibraryTwin
) -> None:
    library.refuses_contexts = True
    with pytest.raises(DeviceError, match=r"TensorRT could not prepare doubling\.onnx"):
        make_runtime().load(graph, SIZES)


def test_a_graph_of_fixed_sizes_needs_no_ranges(make_runtime: Make, tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    path.write_bytes(doubling(2))
    session = make_runtime().load(path, {})
    assert session.inputs[0].shape == (2, 3)
    np.testing.assert_array_equal(session.run({"x": _x(2)})["y"], 2 * _x(2))
