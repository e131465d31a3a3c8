"""A machine with one GPU and TensorRT on it, in memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.graph_spec import Range
from pipelines.runtime import cuda as cuda_module
from pipelines.runtime.tensorrt import TensorRtRuntime
from tests.unit.runtime.nvidia_twin import CudaTwin, LibraryTwin
from tests.unit.runtime.small_graphs import doubling

SIZES = {"samples": Range(1, 2, 4)}
VERSIONS = {"tensorrt": "11.4.0.106", "tensorrt-rtx": "1.7.1.116"}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the driver's kernel module says its release."""
    file = tmp_path / "driver"
    file.write_text("580.95.05\n")
    monkeypatch.setattr(cuda_module, "DRIVER_FILES", (tmp_path / "absent", file))
    return file


@pytest.fixture
def cuda(driver: Path, monkeypatch: pytest.MonkeyPatch) -> CudaTwin:
    twin = CudaTwin()
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", twin)  # type: ignore[arg-type]
    return twin


@pytest.fixture
def install(cuda: CudaTwin, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], LibraryTwin]:
    """Put a library of a version on the machine."""

    def put(name: str = "tensorrt", version: str = "") -> LibraryTwin:
        twin = LibraryTwin(cuda, version or VERSIONS[name])
        monkeypatch.setitem(sys.modules, name.replace("-", "_"), twin)  # type: ignore[arg-type]
        return twin

    return put


@pytest.fixture
def library(install: Callable[..., LibraryTwin]) -> LibraryTwin:
    """TensorRT 11."""
    return install()


@pytest.fixture
def engines(tmp_path: Path) -> Path:
    return tmp_path / "engines"


@pytest.fixture
def make_runtime(library: LibraryTwin, engines: Path) -> Callable[..., TensorRtRuntime]:
    def make(**changed: Any) -> TensorRtRuntime:
        wanted = {"library": "tensorrt", "precision": "fp32", "engines": engines}
        return TensorRtRuntime(**(wanted | changed))

    return make


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """x (samples, 3) -> 2 x."""
    path = tmp_path / "doubling.onnx"
    path.write_bytes(doubling())
    return path


@pytest.fixture(autouse=True)
def _new_files_are_closed_to_others() -> Any:
    """Whatever mask the tests are started with."""
    before = os.umask(0o022)
    yield
    os.umask(before)
