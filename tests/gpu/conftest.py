"""A GPU with a library that serves it: skipped, saying why, where there is none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from node.domain.errors import DeviceError
from pipelines.runtime.cuda import Cuda
from pipelines.runtime.tensorrt import TensorRtRuntime


@pytest.fixture(scope="module", params=["tensorrt", "tensorrt-rtx"])
def library(request: pytest.FixtureRequest) -> str:
    """Each that is here with a GPU that it serves."""
    try:
        runtime = TensorRtRuntime(library=request.param, precision="fp32", engines=Path())
        config = runtime.tensorrt.start("Builder").create_builder_config()
        runtime.tensorrt.aim(config, (runtime.cuda.gpu.capability,))
    except DeviceError as error:
        pytest.skip(f"needs a GPU and {request.param}: {error.message}")
    return str(request.param)


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of all tests of a file, so that each engine is built once."""
    return tmp_path_factory.mktemp("gpu") / "engines"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each function of CUDA was called; one that is -1 fails."""
    counted: Counter[str] = Counter()
    real = Cuda.call

    def call(self: Cuda, function: str, *arguments: object) -> object:
        if counted[function] < 0:
            raise DeviceError(f"the GPU failed ({function}: as the test asked)")
        counted[function] += 1
        return real(self, function, *arguments)

    monkeypatch.setattr(Cuda, "call", call)
    return counted
