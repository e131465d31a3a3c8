"""The build half with the real TensorRT for RTX, which builds without a GPU.

Its parser and compiler are NVIDIA's, so what passes here is a graph that they accept. That the
engine runs, and how fast, is not shown: not run on hardware.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from node.domain.errors import BundleError, DeviceError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import shipped_bundles
from pipelines.graph_spec import Range, Sizes
from pipelines.runtime.engine_build import BuiltEngine, _open, build_engine
from pipelines.runtime.half_precision import half_precision
from pipelines.runtime.tensorrt_library import TensorRtLibrary
from tests.conftest import absent
from tests.unit.runtime.conftest import SIZES
from tests.unit.runtime.drawing_graphs import drawing_graphs, spec
from tests.unit.runtime.small_graphs import doubling, fourier

CAPABILITIES = ("80", "86", "89", "120")
"""A100, RTX 30, RTX 40, RTX 50; one plan for all of them."""
MOST_CPU_S = 60.0
"""Of all shipped graphs in both precisions: five times what they take."""


@pytest.fixture(scope="module")
def rtx() -> TensorRtLibrary:
    try:
        return TensorRtLibrary.find("tensorrt-rtx")
    except DeviceError as error:
        absent(error.message)
        raise


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(shipped_bundles() / "simulated-4ch")


def _build(rtx: TensorRtLibrary, graph: bytes, sizes: Sizes, **changed: Any) -> BuiltEngine:
    wanted: dict[str, Any] = {
        "name": "small.onnx",
        "capabilities": CAPABILITIES,
        "progress": lambda name, share: None,
    }
    return build_engine(rtx, graph, sizes, **(wanted | changed))


@pytest.fixture(scope="module")
def taken_s() -> list[float]:
    """What the building of each shipped graph has taken of the processor."""
    return []


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("role", ["ecg", "layout", "decoder"])
def test_nvidias_compiler_takes_every_shipped_graph_in_less_than_a_minute(
    rtx: TensorRtLibrary, bundle: Bundle, role: str, precision: str, taken_s: list[float]
) -> None:
    spec, sampler = bundle.manifest.graphs.offered[role], bundle.manifest.sampler
    assert sampler is not None
    graph = (bundle.folder / spec.file).read_bytes()
    if precision == "fp16":
        graph = half_precision(graph, spec.file)
    before = time.process_time()
    plan = _build(rtx, graph, sampler.sizes, name=spec.file).plan
    taken_s.append(time.process_time() - before)
    print(
        f"\n{role} {precision}: {len(graph) / 1e6:.1f} MB -> plan {len(plan) / 1e6:.1f} MB, "
        f"{taken_s[-1]:.1f} s of processor"
    )
    assert sum(taken_s) < MOST_CPU_S
    weights = sum(
        len(tensor.raw_data) for tensor in onnx.load_model_from_string(graph).graph.initializer
    )
    assert len(plan) > 0.8 * weights


@pytest.mark.parametrize("role", ["trunk", "head"])
def test_nvidias_compiler_takes_graphs_of_open_sizes_also_where_nothing_is_known_yet(
    rtx: TensorRtLibrary, role: str
) -> None:
    graph, _ = drawing_graphs("diffusion")[role]
    sizes = spec().sizes
    assert sizes["known"].least == 0
    assert _build(rtx, half_precision(graph, role), sizes).plan


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_two_builds_give_the_same_bytes(rtx: TensorRtLibrary, precision: str) -> None:
    graph = doubling()
    if precision == "fp16":
        graph = half_precision(graph, "small.onnx")
    assert _build(rtx, graph, SIZES).plan == _build(rtx, graph, SIZES).plan


def test_an_operator_that_the_library_lacks_is_named_with_its_node(rtx: TensorRtLibrary) -> None:
    found = r"node fourier_transform \(DFT\): .*Plugin not found"
    with pytest.raises(BundleError, match=found):
        _build(rtx, fourier(), {})


def test_what_is_no_graph_is_refused_with_the_parsers_words(rtx: TensorRtLibrary) -> None:
    with pytest.raises(BundleError, match="Failed to parse the ONNX model"):
        _build(rtx, b"rubbish", {})


def test_the_ranges_of_open_dimensions_become_the_engines(rtx: TensorRtLibrary) -> None:
    config, profile = _opened(rtx, doubling(), {"samples": Range(0, 2, 7)})
    assert config.num_optimization_profiles == 1
    assert [tuple(shape) for shape in profile.get_shape("x")] == [(0, 3), (2, 3), (7, 3)]


def test_a_graph_of_fixed_sizes_has_no_profile(rtx: TensorRtLibrary) -> None:
    config, profile = _opened(rtx, doubling(2), {})
    assert (config.num_optimization_profiles, profile) == (0, None)


def test_a_dimension_without_a_range_is_named(rtx: TensorRtLibrary) -> None:
    with pytest.raises(BundleError, match=r"small\.onnx leaves dimension 0 \(samples\) of its "):
        _build(rtx, doubling(), {"rows": Range(1, 1, 1)})


def test_ranges_that_contradict_each_other_are_refused(rtx: TensorRtLibrary) -> None:
    with pytest.raises(BundleError, match="contradict each other"):
        _build(rtx, doubling(), {"samples": Range(4, 2, 1)})


def test_tf32_is_off_in_what_is_built(
    rtx: TensorRtLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        TensorRtLibrary,
        "aim",
        lambda self, config, capabilities: seen.append(
            config.get_flag(rtx.module.BuilderFlag.TF32)
        ),
    )
    assert rtx.start("Builder").create_builder_config().get_flag(rtx.module.BuilderFlag.TF32)
    _build(rtx, doubling(2), {})
    assert seen == [False]


def test_a_gpu_that_the_library_does_not_serve_is_refused(rtx: TensorRtLibrary) -> None:
    with pytest.raises(DeviceError, match="does not serve GPUs of compute capability 90"):
        _build(rtx, doubling(2), {}, capabilities=("90",))


def test_the_share_that_is_done_rises_to_the_whole(rtx: TensorRtLibrary, bundle: Bundle) -> None:
    told: list[tuple[str, float]] = []
    graph = (bundle.folder / bundle.manifest.graphs.ecg.file).read_bytes()
    _build(rtx, graph, {}, progress=lambda name, share: told.append((name, share)))
    shares = [share for _, share in told]
    assert {name for name, _ in told} == {"small.onnx"}
    assert len(shares) > 5
    assert shares == sorted(shares) and 0.0 < shares[0] < 0.5 and shares[-1] == 1.0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell that starts something in the background has it ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_building(rtx: TensorRtLibrary, bundle: Bundle) -> None:
    """A signal of its own: raised without one, it would wait for the building to end."""
    graph = (bundle.folder / bundle.manifest.graphs.ecg.file).read_bytes()
    main = threading.get_ident()
    told: list[float] = []

    def interrupt(name: str, share: float) -> None:
        assert threading.get_ident() != main
        if not told:
            signal.pthread_kill(main, signal.SIGINT)
        told.append(share)

    with pytest.raises(KeyboardInterrupt):
        _build(rtx, graph, {}, progress=interrupt)
    assert told[-1] < 1.0


def _opened(rtx: TensorRtLibrary, graph: bytes, sizes: Sizes) -> tuple[Any, Any]:
    """The configuration and the profile that a graph is given."""
    builder = rtx.start("Builder")
    network, config = builder.create_network(0), builder.create_builder_config()
    parser = rtx.module.OnnxParser(network, rtx.log)
    assert parser.parse(graph)
    given: list[Any] = []

    class Watched:
        def create_optimization_profile(self) -> Any:
            given.append(builder.create_optimization_profile())
            return given[-1]

    _open(Watched(), network, config, sizes, "small.onnx")
    return config, given[0] if given else None


def test_the_library_is_found_with_its_version(rtx: TensorRtLibrary) -> None:
    assert (rtx.title, rtx.version.count(".")) == ("TensorRT for RTX", 2)
    assert Path(rtx.module.__file__).parent.name == "tensorrt_rtx"
