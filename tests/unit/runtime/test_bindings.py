"""Every call that our code makes is one that the real bindings take: TensorRT 10 and 11, for RTX.

What the libraries then do is another matter: not run on hardware.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import absent

ROOT = Path(__file__).parents[3]
PEERS = Path(sys.prefix) / "peers"
"""Where .ci/install-peers puts the bindings."""
LIBRARIES = {"10": "tensorrt", "11": "tensorrt", "rtx": "tensorrt-rtx"}

EVERYWHERE = [
    "execute_async_v3(=>execute_async_v2(",
    "execute_async_v3(self._stream.handle)=>execute_async_v3()",
    "(name, memory.address)=>(name, memory)",
    "context.infer_shapes()=>context.infer_shapes(True)",
    "_profile_shape(tensor.name, PROFILE)=>_profile_shape(PROFILE, tensor.name)",
    "self._scratch.address, self._scratch.size_bytes=>self._scratch.address",
    "create_execution_context(config)=>create_execution_context(config, config)",
    "parser.parse(graph)=>parser.parse(graph, name, 0)",
    "parser.parse(graph)=>parser.parse(name)",
    "error.node_operator()=>error.node_op()",
    "config.progress_monitor = =>config.monitor = ",
    "def step_complete=>def step_completed",
    "phase_start(self, phase_name: str, =>phase_start(self, ",
    "BuilderFlag.TF32=>BuilderFlag.TENSOR_FLOAT",
    '"cudaGraphLaunch", launchable, self._handle=>"cudaGraphLaunch", launchable',
    '"cudaStreamSynchronize"=>"cudaStreamWait"',
    "cudaStreamCaptureModeThreadLocal=>cudaStreamCaptureModeThread",
    "def log(self, severity=>def tell(self, severity",
    "properties.name=>properties.title",
    "OPEN in tuple(tensor.shape)=>OPEN in tuple(tensor.dims)",
    "profile.set_shape(tensor.name, =>profile.set_shape(tensor.title, ",
]
"""Alterations of our sources, each of which must be seen."""
REMOVED_IN_11 = [
    "device_memory_size_v2=>device_memory_size",
    "BuilderFlag.TF32=>BuilderFlag.FP16",
]
ALTERATIONS = {
    "10": [*EVERYWHERE, "STRONGLY_TYPED=>TYPED_STRONGLY"],
    "11": [*EVERYWHERE, *REMOVED_IN_11, "get_timing_cache()=>timing_cache()"],
    "rtx": [*EVERYWHERE, *REMOVED_IN_11, "Strategy.EAGER=>Strategy.AT_ONCE"],
}
_OF_VERSION_10 = {"NetworkDefinitionCreationFlag", "STRONGLY_TYPED"}
_TIMINGS = {"create_timing_cache", "set_timing_cache", "get_timing_cache", "serialize"}
NOT_ASKED_FOR: dict[str, set[str]] = {
    "10": set(), "11": _OF_VERSION_10, "rtx": _OF_VERSION_10 | _TIMINGS,
}  # fmt: skip
"""What a library has, and only another is asked for: misspelt, it is seen there alone."""


@cache
def _played(which: str) -> dict[str, Any]:
    """What the scenario said, played as we are, and with each alteration and misspelling."""
    environment = dict(os.environ)
    if which == "rtx":
        if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
            absent('TensorRT for RTX is not installed: pip install "cardionode[dev]"')
    else:
        folder = PEERS / f"tensorrt-{which}"
        if not folder.is_dir():
            absent(f"no bindings of TensorRT {which}: .ci/install-peers {sys.prefix}")
        environment |= {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    words = ["-m", "tests.unit.runtime.binding_scenario", LIBRARIES[which], *ALTERATIONS[which]]
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(params=list(LIBRARIES))
def which(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def played(which: str) -> dict[str, Any]:
    return _played(which)


def test_the_real_bindings_take_every_call(played: dict[str, Any]) -> None:
    assert played["fault"] == ""
    assert "IExecutionContext.execute_async_v3()" in played["used"]
    print(f"\n{played['version']}: {len(played['used'])} names used")


def test_no_alteration_goes_unseen(played: dict[str, Any]) -> None:
    assert [each for each, fault in played["faults"].items() if not fault] == []


def test_whatever_we_name_of_nvidias_is_seen_when_it_is_misspelt(
    which: str, played: dict[str, Any]
) -> None:
    misspelt = played["misspelt"]
    unseen = [place for place, fault in misspelt.items() if not fault]
    assert {place.split()[1] for place in unseen} == NOT_ASKED_FOR[which], unseen
    print(f"\n{played['version']}: {len(misspelt)} places, {len(unseen)} of another library")


def _calls(runtime: Any, array: np.ndarray) -> list[Callable[[], tuple[Any, ...]]]:
    stream = runtime.cudaStream_t(1)
    graph, exec_ = runtime.cudaGraph_t(1), runtime.cudaGraphExec_t(1)
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    to = runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
    return [
        lambda: runtime.cudaMalloc(16),
        lambda: runtime.cudaFree(4096),
        lambda: runtime.cudaMemcpyAsync(4096, array.ctypes.data, 16, to, stream),
        lambda: runtime.cudaStreamCreateWithFlags(runtime.cudaStreamNonBlocking),
        lambda: runtime.cudaStreamSynchronize(stream),
        lambda: runtime.cudaStreamBeginCapture(stream, mode),
        lambda: runtime.cudaStreamEndCapture(stream),
        lambda: runtime.cudaGraphInstantiate(graph, 0),
        lambda: runtime.cudaGraphLaunch(exec_, stream),
        lambda: runtime.cudaGraphExecDestroy(exec_),
        lambda: runtime.cudaGraphDestroy(graph),
        lambda: runtime.cudaStreamDestroy(stream),
    ]


def test_cuda_takes_arguments_of_our_kinds_and_gives_a_code_and_values() -> None:
    """Without a driver a call gets as far as its arguments' conversion, and no further."""
    if importlib.util.find_spec("cuda.bindings") is None:
        absent('cuda-bindings is not installed: pip install "cardionode[dev]"')
    from cuda.bindings import runtime

    if runtime.cudaGetDeviceCount()[0] == runtime.cudaError_t.cudaSuccess:
        pytest.skip("there is a driver, which would take made-up addresses for real ones")
    assert int(runtime.cudaStream_t(7)) == 7
    assert isinstance(runtime.cudaDeviceProp().name, bytes)
    for call in _calls(runtime, np.zeros(4, np.float32)):
        code, *values = call()
        assert code == runtime.cudaError_t.cudaErrorInsufficientDriver
        assert len(values) <= 1
