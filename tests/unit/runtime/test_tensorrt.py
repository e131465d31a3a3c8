"""TensorRT as a runtime, over twins of NVIDIA's libraries; not run on hardware."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.errors import BundleError, DeviceError
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline, serve_bundle, shipped_bundles
from pipelines.graph_spec import Range
from pipelines.runtime import tensorrt
from pipelines.runtime.engine_cache import UNUSED_DAYS
from pipelines.runtime.selection import Wish
from pipelines.runtime.tensorrt import TensorRtRuntime
from tests.unit.pipelines.conftest import QUICK
from tests.unit.runtime.conftest import SIZES
from tests.unit.runtime.nvidia_twin import (
    BuilderFlag,
    ComputeCapability,
    CudaTwin,
    DynamicShapesKernelSpecializationStrategy,
    ExecutionContextAllocationStrategy,
    LibraryTwin,
    cudaError_t,
)
from tests.unit.runtime.small_graphs import doubling, fourier

Make = Callable[..., TensorRtRuntime]
X = np.ones((2, 3), np.float32)


def test_the_name_says_library_version_and_gpu(make_runtime: Make) -> None:
    assert make_runtime().name == "TensorRT 11.4.0 Twin GPU SM89"


def test_the_second_load_takes_the_kept_engine(
    make_runtime: Make, graph: Path, library: LibraryTwin
) -> None:
    for _ in range(2):
        assert make_runtime().load(graph, SIZES).run({"x": X})["y"].sum() == 12.0
    assert library.builds == 1


@pytest.mark.parametrize(
    "change",
    ["graph", "precision", "ranges", "library", "driver", "cuda", "gpu", "revision"],
)
def test_an_engine_is_built_anew_for_anything_else_that_it_follows_from(
    make_runtime: Make, graph: Path, library: LibraryTwin, cuda: CudaTwin, driver: Path,
    change: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    make_runtime().load(graph, SIZES)
    sizes, precision = dict(SIZES), "fp32"
    match change:
        case "graph":
            graph.write_bytes(doubling() + b"\x32\x00")  # a note, empty
        case "precision":
            precision = "fp16"
        case "ranges":
            sizes = {"samples": Range(1, 2, 5)}
        case "library":
            library.__version__ = "11.4.1.1"
        case "driver":  # which serves the same CUDA
            driver.write_text("580.105.08\n")
        case "cuda":
            monkeypatch.setattr(
                CudaTwin, "cudaDriverGetVersion", lambda self: (cudaError_t.cudaSuccess, 13030)
            )
        case "gpu":
            found = cuda.cudaGetDeviceProperties(0)
            found[1].name = b"Another GPU"
            monkeypatch.setattr(CudaTwin, "cudaGetDeviceProperties", lambda self, device: found)
        case "revision":
            monkeypatch.setattr(tensorrt, "REVISION", "another")
    make_runtime(precision=precision).load(graph, sizes)
    assert library.builds == 2


def test_a_driver_whose_release_is_out_of_sight_is_known_by_its_cuda(
    make_runtime: Make, graph: Path, library: LibraryTwin, driver: Path
) -> None:
    driver.unlink()
    for _ in range(2):
        runtime = make_runtime()
        runtime.load(graph, SIZES)
    assert (runtime.cuda.gpu.driver, runtime.cuda.gpu.cuda) == ("", "13.2")
    assert library.builds == 1


def test_after_an_update_of_the_driver_old_engines_go_and_those_of_other_bundles_stay(
    make_runtime: Make, graph: Path, driver: Path, engines: Path, tmp_path: Path
) -> None:
    another = tmp_path / "another.onnx"
    another.write_bytes(doubling(width=5))
    make_runtime().load(graph, SIZES)
    outdated = set(engines.iterdir())
    assert len(outdated) == 2  # plan, timings
    driver.write_text("580.105.08\n")
    make_runtime().load(another, SIZES)
    long_ago = time.time() - (UNUSED_DAYS + 1) * 86_400
    for path in engines.iterdir():
        os.utime(path, (long_ago, long_ago))
    others = set(engines.iterdir()) - outdated
    make_runtime().load(graph, SIZES)
    left = set(engines.iterdir())
    assert not left & outdated
    assert others < left and len(left) == 3


def test_a_damaged_engine_is_built_anew(
    make_runtime: Make, graph: Path, library: LibraryTwin, engines: Path
) -> None:
    make_runtime().load(graph, SIZES)
    (plan,) = engines.glob("*.plan")
    whole = plan.read_bytes()
    plan.write_bytes(whole[:-5])
    assert make_runtime().load(graph, SIZES).run({"x": X})["y"].sum() == 12.0
    assert library.builds == 2
    assert plan.read_bytes() == whole


def test_an_engine_that_the_library_refuses_is_built_once_more_and_not_kept(
    make_runtime: Make, graph: Path, library: LibraryTwin, engines: Path
) -> None:
    make_runtime().load(graph, SIZES)
    library.refuses_engines = True
    with pytest.raises(DeviceError, match="does not take the engine that it built"):
        make_runtime().load(graph, SIZES)
    assert library.builds == 2
    assert not list(engines.glob("*.plan"))


def test_an_engine_that_others_could_have_written_is_refused(
    make_runtime: Make, graph: Path, library: LibraryTwin, engines: Path
) -> None:
    make_runtime().load(graph, SIZES)
    engines.chmod(0o777)
    with pytest.raises(DeviceError, match="engines are programs"):
        make_runtime().load(graph, SIZES)
    assert library.builds == 1


def test_a_folder_that_cannot_be_written_is_known_before_an_engine_is_built(
    make_runtime: Make, graph: Path, library: LibraryTwin, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DeviceError, match=r"let model\.engines name another"):
        make_runtime(engines=tmp_path / "file" / "engines").load(graph, SIZES)
    assert library.builds == 0


def test_what_was_timed_helps_the_next_engine(
    make_runtime: Make, graph: Path, library: LibraryTwin, engines: Path
) -> None:
    make_runtime().load(graph, SIZES)
    make_runtime().load(graph, {"samples": Range(1, 1, 2)})
    assert library.config is not None and library.config.cache is not None
    assert library.config.cache.content == b"timed;"
    assert len(list(engines.glob("*.timings"))) == 1


def test_fp32_is_fp32(make_runtime: Make, graph: Path, library: LibraryTwin) -> None:
    make_runtime().load(graph, SIZES)
    assert library.config is not None
    assert library.config.cleared == [BuilderFlag.TF32]


def test_scratch_memory_is_shared_by_all_contexts(
    make_runtime: Make, graph: Path, library: LibraryTwin
) -> None:
    make_runtime().load(graph, SIZES)
    assert library.runtime_config is not None
    assert library.runtime_config.strategy is ExecutionContextAllocationStrategy.USER_MANAGED


@pytest.mark.parametrize(
    ("version", "flags"), [("10.16.1.11", 2), ("11.4.0.106", 0)], ids=["10", "11"]
)
def test_only_version_10_is_asked_to_take_the_precision_from_the_graph(
    install: Callable[..., LibraryTwin], make_runtime: Make, graph: Path, version: str, flags: int
) -> None:
    library = install(version=version)
    make_runtime().load(graph, SIZES)
    assert library.flags == flags


def test_for_rtx_it_builds_for_the_gpu_that_is_here_and_times_nothing(
    install: Callable[..., LibraryTwin], make_runtime: Make, graph: Path, engines: Path
) -> None:
    library = install("tensorrt-rtx")
    runtime = make_runtime(library="tensorrt-rtx")
    assert runtime.name == "TensorRT for RTX 1.7.1 Twin GPU SM89"
    assert runtime.load(graph, SIZES).run({"x": X})["y"].sum() == 12.0
    assert library.config is not None and library.runtime_config is not None
    assert library.config.num_compute_capabilities == 1
    assert library.config.capabilities == [ComputeCapability.SM89]
    assert library.config.cache is None and not list(engines.glob("*.timings"))
    eager = DynamicShapesKernelSpecializationStrategy.EAGER
    assert library.runtime_config.dynamic_shapes_kernel_specialization_strategy is eager


def test_for_rtx_another_gpu_is_refused_by_its_capability(
    install: Callable[..., LibraryTwin], make_runtime: Make, graph: Path, cuda: CudaTwin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    install("tensorrt-rtx")
    found = cuda.cudaGetDeviceProperties(0)
    found[1].major, found[1].minor = 9, 0
    monkeypatch.setattr(CudaTwin, "cudaGetDeviceProperties", lambda self, device: found)
    with pytest.raises(DeviceError, match="does not serve GPUs of compute capability 90"):
        make_runtime(library="tensorrt-rtx").load(graph, SIZES)


def test_the_building_of_each_graph_is_told_from_a_first_to_a_last_share(
    make_runtime: Make, graph: Path
) -> None:
    told: list[tuple[str, float]] = []
    make_runtime(progress=lambda name, share: told.append((name, share))).load(graph, SIZES)
    assert {name for name, _ in told} == {"doubling.onnx"}
    assert [share for _, share in told] == [0.125, 0.25, 0.375, 0.5, 1.0, 1.0]


def test_ctrl_c_ends_the_building_and_keeps_nothing(
    make_runtime: Make, graph: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def interrupted(self: Future[Any], timeout: float | None = None) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_runtime().load(graph, SIZES)
    assert not list(engines.iterdir())


def test_a_building_that_fails_says_what_the_library_said_last(
    make_runtime: Make, graph: Path, library: LibraryTwin
) -> None:
    library.refuses_to_build = True
    with pytest.raises(DeviceError, match=r"doubling\.onnx here \(Error Code 2: out of memory\)"):
        make_runtime().load(graph, SIZES)


def test_a_graph_that_the_library_does_not_take_is_refused_by_node_and_operator(
    make_runtime: Make, graph: Path
) -> None:
    graph.write_bytes(fourier())
    with pytest.raises(BundleError, match=r"node node_3 \(DFT\): Plugin not found"):
        make_runtime().load(graph, SIZES)


def test_an_open_dimension_without_a_range_is_refused_by_its_name(
    make_runtime: Make, graph: Path
) -> None:
    with pytest.raises(BundleError, match=r"dimension 0 \(samples\) of its input x open"):
        make_runtime().load(graph, {"rows": Range(1, 2, 4)})


def test_a_missing_graph_is_refused(make_runtime: Make, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.onnx cannot be read"):
        make_runtime().load(tmp_path / "none.onnx", SIZES)


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_a_library_that_is_not_installed_is_named_with_the_command_that_helps(
    make_runtime: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name.replace("-", "_"), None)
    with pytest.raises(DeviceError, match=rf"is not installed: pip install .*\[{name}\]"):
        make_runtime(library=name)


@pytest.mark.parametrize(
    ("name", "old", "oldest"),
    [("tensorrt", "10.15.1.29", "10.16.1.11"), ("tensorrt-rtx", "1.6.0.10", "1.7.1.116")],
    ids=["tensorrt", "tensorrt-rtx"],
)
def test_a_library_older_than_those_whose_surface_was_checked_is_refused(
    install: Callable[..., LibraryTwin], make_runtime: Make, name: str, old: str, oldest: str
) -> None:
    """The oldest are those of `test_bindings`."""
    install(name, oldest)
    make_runtime(library=name)
    install(name, old)
    with pytest.raises(DeviceError, match=rf"{old} is too old, {oldest.rpartition('.')[0][:-2]}"):
        make_runtime(library=name)


def test_without_the_cuda_bindings_there_is_no_runtime(
    make_runtime: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    with pytest.raises(DeviceError, match="cuda-bindings is not installed: pip install"):
        make_runtime()


def test_without_a_gpu_there_is_no_runtime(make_runtime: Make, cuda: CudaTwin) -> None:
    cuda.count = 0
    with pytest.raises(DeviceError, match=r"no NVIDIA GPU \(cudaErrorNoDevice\)"):
        make_runtime()


def test_a_library_that_cannot_use_the_gpu_says_so(
    make_runtime: Make, library: LibraryTwin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(logger: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    monkeypatch.setattr(library, "Runtime", nothing)
    with pytest.raises(DeviceError, match=r"cannot start its Runtime \(pybind11::init"):
        make_runtime()


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_shipped_bundle_proves_itself_and_says_where_it_was_served(
    make_runtime: Make, precision: str
) -> None:
    """The twin computes with ONNX Runtime, which casts as the graph says: numbers of fp16."""
    bundle = read_bundle(shipped_bundles() / "simulated-4ch")
    pipeline = load_pipeline(bundle, make_runtime(precision=precision))
    assert pipeline.identity.runtime == "TensorRT 11.4.0 Twin GPU SM89"
    assert pipeline.identity.precision == precision


def test_where_the_gpu_fails_in_service_the_cpu_answers_from_then_on(
    library: LibraryTwin, cuda: CudaTwin, engines: Path
) -> None:
    seconds = np.arange(5000) / 500.0
    beat = np.exp(-0.5 * ((np.mod(seconds, 0.8) - 0.3) / 0.011) ** 2)
    record = ECGRecord(
        samples=np.outer(beat, np.linspace(-0.6, 1.0, 12)).astype(np.float32),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=500.0,
    )
    said: list[str] = []
    wish = Wish(threads=1, engines=engines)
    served = serve_bundle(read_bundle(QUICK), wish, said=said.append)

    def runtime() -> str:
        answer = served.pipeline.predict(record, Subject(), source_digest="0" * 64)
        return f"{answer.model.runtime} {answer.model.precision}"

    assert runtime() == "TensorRT 11.4.0 Twin GPU SM89 fp16"
    cuda.failing["cudaGraphLaunch"] = cudaError_t.cudaErrorIllegalAddress
    assert runtime() == runtime() == f"onnxruntime {onnxruntime.__version__} CPU fp32"
    assert len(said) == 1 and "cudaGraphLaunch: cudaErrorIllegalAddress, 700" in said[0]
