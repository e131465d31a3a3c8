"""CUDA as the GPU path uses it, on a real GPU, whichever library serves it: pytest -m gpu."""

from __future__ import annotations

import gc
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.errors import DeviceError
from pipelines.bundle import read_bundle
from pipelines.catalog import serve_bundle, shipped_bundles
from pipelines.runtime.cuda import Cuda, DeviceMemory, Stream
from pipelines.runtime.selection import AUTO, Wish
from pipelines.runtime.tensorrt import TensorRtRuntime
from pipelines.runtime.tensorrt_library import TensorRtLibrary
from pipelines.runtime.tensorrt_session import TensorRtSession
from tests.unit.runtime.nvidia_twin import ICudaEngine, IExecutionContext, LibraryTwin
from tests.unit.runtime.small_graphs import doubling

pytestmark = pytest.mark.gpu
SIZE = 1 << 20
CHANCE = np.random.default_rng(0)
ALLOWED_GROWTH_BYTES = 4 << 20


@pytest.fixture(scope="module")
def cuda() -> Cuda:
    try:
        return Cuda.find()
    except DeviceError as error:
        pytest.skip(f"needs a GPU: {error.message}")


def random_bytes() -> np.ndarray:
    return CHANCE.integers(0, 256, SIZE, np.uint8)


def free_bytes(cuda: Cuda) -> int:
    return int(cuda.runtime.cudaMemGetInfo()[1])


def copying(cuda: Cuda, stream: Stream, source: DeviceMemory, to: DeviceMemory) -> None:
    kind = cuda.runtime.cudaMemcpyKind.cudaMemcpyDeviceToDevice
    cuda.call("cudaMemcpyAsync", to.address, source.address, SIZE, kind, stream.handle)


def test_the_gpu_has_a_name_a_capability_and_a_driver(cuda: Cuda) -> None:
    print(f"\n{cuda.gpu}")
    assert cuda.gpu.name.isprintable() and cuda.gpu.name
    assert cuda.gpu.capability.isdecimal() and float(cuda.gpu.cuda) >= 12
    assert not cuda.gpu.driver or cuda.gpu.driver[0].isdecimal()


def test_what_is_copied_in_is_what_is_copied_out(cuda: Cuda) -> None:
    stream, memory = Stream(cuda), DeviceMemory(cuda, SIZE)
    given, found = random_bytes(), np.empty(SIZE, np.uint8)
    stream.copy_in(memory, given)
    stream.copy_out(found, memory)
    stream.wait()
    np.testing.assert_array_equal(found, given)


def test_what_was_captured_is_done_again_with_each_launch(cuda: Cuda) -> None:
    stream, source, target = Stream(cuda), DeviceMemory(cuda, SIZE), DeviceMemory(cuda, SIZE)

    def play() -> None:
        copying(cuda, stream, source, target)

    launch = stream.capture(play)
    assert launch is not play, "it was not captured"
    for _ in range(3):
        given, found = random_bytes(), np.empty(SIZE, np.uint8)
        stream.copy_in(source, given)
        launch()
        stream.copy_out(found, target)
        stream.wait()
        np.testing.assert_array_equal(found, given)


def test_what_cannot_be_captured_is_played_each_time(cuda: Cuda) -> None:
    stream, source, target = Stream(cuda), DeviceMemory(cuda, SIZE), DeviceMemory(cuda, SIZE)

    def play() -> None:
        copying(cuda, stream, source, target)
        stream.wait()  # no recording may wait

    assert stream.capture(play) is play
    given, found = random_bytes(), np.empty(SIZE, np.uint8)
    stream.copy_in(source, given)
    play()
    stream.copy_out(found, target)
    stream.wait()
    np.testing.assert_array_equal(found, given)


def test_another_thread_may_take_memory_while_one_captures(cuda: Cuda) -> None:
    stream, source, target = Stream(cuda), DeviceMemory(cuda, SIZE), DeviceMemory(cuda, SIZE)
    taken: list[DeviceMemory] = []

    def play() -> None:
        thread = threading.Thread(target=lambda: taken.append(DeviceMemory(cuda, SIZE)))
        thread.start()
        thread.join()
        copying(cuda, stream, source, target)

    assert stream.capture(play) is not play
    assert len(taken) == 1


def test_more_memory_than_there_is_is_refused_and_the_next_is_had(cuda: Cuda) -> None:
    with pytest.raises(DeviceError, match="cudaMalloc: cudaErrorMemoryAllocation, 2"):
        DeviceMemory(cuda, 1 << 50)
    DeviceMemory(cuda, SIZE)


def test_memory_streams_and_recordings_are_given_back(cuda: Cuda) -> None:
    def work() -> None:
        stream, source, target = Stream(cuda), DeviceMemory(cuda, SIZE), DeviceMemory(cuda, SIZE)
        stream.capture(lambda: copying(cuda, stream, source, target))()
        stream.wait()

    for _ in range(10):
        work()
    gc.collect()
    before = free_bytes(cuda)
    for _ in range(500):
        work()
    gc.collect()
    assert before - free_bytes(cuda) <= ALLOWED_GROWTH_BYTES


def test_a_gpu_that_no_library_serves_leaves_the_answer_to_the_cpu_and_it_is_said(
    cuda: Cuda, tmp_path: Path
) -> None:
    """Such as TensorRT for RTX on a GPU of the data centre."""
    try:
        rtx = TensorRtRuntime(library="tensorrt-rtx", precision="fp32", engines=tmp_path)
        config = rtx.tensorrt.start("Builder").create_builder_config()
        rtx.tensorrt.aim(config, (cuda.gpu.capability,))
    except DeviceError as error:
        why = error.message
    else:
        pytest.skip("TensorRT for RTX serves this GPU")
    bundle = read_bundle(shipped_bundles() / "simulated-4ch")
    served = serve_bundle(bundle, Wish(runtime=AUTO, threads=2, engines=tmp_path), said=print)
    print(f"\n{served.reason}")
    if served.pipeline.identity.runtime.startswith("TensorRT "):
        pytest.skip("TensorRT serves this GPU")
    assert served.pipeline.identity.runtime.startswith("onnxruntime")
    assert why in served.reason
    assert not list(tmp_path.glob("**/*.plan"))


class CopyingContext(IExecutionContext):
    """An engine's only kernel: a copy from its input to its output, on the GPU."""

    def set_device_memory(self, memory: int, size: int) -> None:
        self.scratch = memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        cuda: Any = self.library.cuda
        size_bytes = int(np.prod(self.shapes["x"])) * 4
        kind = cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        (code,) = cuda.cudaMemcpyAsync(
            self.addresses["y"], self.addresses["x"], size_bytes, kind, stream_handle
        )
        return bool(code == cuda.cudaError_t.cudaSuccess)


class CopyingEngine(ICudaEngine):
    def create_execution_context(self, runtime_config: Any) -> IExecutionContext:
        return CopyingContext(self)


@pytest.fixture
def session(cuda: Cuda) -> TensorRtSession:
    """What serves every engine, over one that copies."""
    module = LibraryTwin(cuda.runtime, "10.16.0")
    profile = json.dumps({"x": [[1, 4], [2, 4], [16, 4]]}).encode()
    plan = b"%08d" % len(profile) + profile + doubling(width=4)
    library = TensorRtLibrary(
        name="tensorrt", title="TensorRT", version="10.16.0", module=module, log=None
    )
    engine = CopyingEngine(plan, module)
    return TensorRtSession(graph="copying", engine=engine, library=library, cuda=cuda)


def test_a_session_gives_what_its_engine_makes_of_each_shape_in_any_order(
    session: TensorRtSession,
) -> None:
    for samples in (2, 16, 1, 2, 16, 1):
        given = CHANCE.standard_normal((samples, 4), np.float32)
        np.testing.assert_array_equal(session.run({"x": given})["y"], given)


def test_threads_take_turns_at_a_session(session: TensorRtSession) -> None:
    wrong: list[int] = []

    def work(number: int) -> None:
        given = np.full((1 + number % 16, 4), number, np.float32)
        for _ in range(100):
            if session.run({"x": given})["y"].tobytes() != given.tobytes():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_session_that_has_run_a_thousand_times_keeps_no_more_memory(
    cuda: Cuda, session: TensorRtSession
) -> None:
    given = np.ones((16, 4), np.float32)
    session.run({"x": given})
    before = free_bytes(cuda)
    for _ in range(1000):
        session.run({"x": given})
    assert before - free_bytes(cuda) <= ALLOWED_GROWTH_BYTES
