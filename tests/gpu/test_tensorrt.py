"""The shipped bundle on a real GPU: parity, repetition, speed, leaks, failure in service.

Skipped, saying why, where TensorRT or a GPU is not there: pytest -m gpu -s tests/gpu
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, serve_bundle, shipped_bundles
from pipelines.graph_spec import Sizes
from pipelines.parity import GATES, RelativeError
from pipelines.runtime.cuda import Cuda
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.selection import AUTO, Wish
from pipelines.runtime.tensorrt import TensorRtRuntime
from pipelines.runtime.tensorrt_session import TensorRtSession
from pipelines.self_test import golden_name

pytestmark = pytest.mark.gpu
Golden = Mapping[str, NDArray[np.float32]]
ROLES = ["ecg", "layout", "decoder"]
RUNS = 200
ALLOWED_GROWTH_BYTES = 4 << 20


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(shipped_bundles() / "simulated-4ch")


@pytest.fixture(scope="module")
def golden(bundle: Bundle) -> Golden:
    with np.load(bundle.folder / bundle.manifest.golden.file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _load(
    bundle: Bundle, role: str, library: str, engines: Path, precision: str
) -> TensorRtSession:
    runtime = TensorRtRuntime(library=library, precision=precision, engines=engines)
    return runtime.load(bundle.folder / bundle.manifest.graphs.offered[role].file, _sizes(bundle))


def _sizes(bundle: Bundle) -> Sizes:
    assert bundle.manifest.sampler is not None
    return bundle.manifest.sampler.sizes


def _inputs(golden: Golden, role: str, names: list[str]) -> dict[str, NDArray[np.float32]]:
    return {name: golden[golden_name(role, name)] for name in names}


def _named(session: TensorRtSession) -> list[str]:
    return [tensor.name for tensor in session.inputs]


def _ecg() -> ECGRecord:
    seconds = np.arange(5000) / 500.0
    beat = np.exp(-0.5 * ((np.mod(seconds, 0.8) - 0.3) / 0.011) ** 2)
    return ECGRecord(
        samples=np.outer(beat, np.linspace(-0.6, 1.0, 12)).astype(np.float32),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=500.0,
    )


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_bundle_proves_itself_and_says_on_which_gpu(
    bundle: Bundle, library: str, engines: Path, precision: str
) -> None:
    wish = Wish(runtime=library, precision=precision, threads=2, engines=engines)
    started = time.monotonic()
    served = serve_bundle(bundle, wish, said=print)
    identity = served.pipeline.identity
    print(f"\n{identity.runtime} {precision}: ready after {time.monotonic() - started:.1f} s")
    assert identity.runtime.startswith("TensorRT") and identity.precision == precision
    started = time.monotonic()
    serve_bundle(bundle, wish, said=print)
    print(f"with kept engines: {time.monotonic() - started:.1f} s")


@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("role", ROLES)
def test_golden_vectors_pass_the_gate(
    bundle: Bundle, golden: Golden, library: str, engines: Path, role: str, precision: str
) -> None:
    session = _load(bundle, role, library, engines, precision)
    for name, found in session.run(_inputs(golden, role, _named(session))).items():
        expected = golden[golden_name(role, name)]
        error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        print(f"\n{library} {precision} {role} {name}: relative root mean square {error:.1e}")
        if precision == "fp16":
            assert GATES["fp16"].passes(RelativeError.of(found, expected))
        else:
            assert np.abs(found - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("role", ROLES)
def test_the_same_inputs_give_the_same_bytes_and_one_launch_each(
    bundle: Bundle, golden: Golden, library: str, engines: Path, role: str, calls: Counter[str]
) -> None:
    sessions = [_load(bundle, role, library, engines, "fp16") for _ in range(2)]
    inputs = _inputs(golden, role, _named(sessions[0]))
    answers = {
        tuple(value.tobytes() for value in session.run(inputs).values())
        for session in sessions
        for _ in range(20)
    }
    assert len(answers) == 1
    assert calls["cudaGraphLaunch"] == 40, "the graph could not be recorded"


def test_every_number_of_samples_gives_the_cpus_latents_in_any_order(
    bundle: Bundle, library: str, engines: Path
) -> None:
    most = _sizes(bundle)["samples"].most
    session = _load(bundle, "layout", library, engines, "fp32")
    path = bundle.folder / bundle.manifest.graphs.offered["layout"].file
    cpu = OnnxRuntime(threads=2).load(path, {})
    chance = np.random.default_rng(0)
    seen: dict[int, tuple[dict[str, NDArray[np.float32]], bytes]] = {}
    for samples in (1, most, 2):
        inputs = {
            tensor.name: chance.standard_normal((samples, int(tensor.shape[1] or 0)), np.float32)
            for tensor in session.inputs
        }
        expected, found = (each.run(inputs)["latent"] for each in (cpu, session))
        assert np.abs(found - expected).max() <= 1e-3 * max(1.0, np.abs(expected).max())
        seen[samples] = inputs, found.tobytes()
    for samples in (2, 1, most, 1):
        inputs, bytes_ = seen[samples]
        assert session.run(inputs)["latent"].tobytes() == bytes_


def test_how_much_faster_than_the_cpu(
    bundle: Bundle, golden: Golden, library: str, engines: Path
) -> None:
    """Told, not judged."""
    for role in ROLES:
        path = bundle.folder / bundle.manifest.graphs.offered[role].file
        cpu = OnnxRuntime(threads=os.cpu_count() or 1).load(path, {})
        gpu = _load(bundle, role, library, engines, "fp16")
        inputs = _inputs(golden, role, _named(gpu))
        took = {}
        for name, session in (("CPU fp32", cpu), ("GPU fp16", gpu)):
            times = []
            for _ in range(50):
                started = time.perf_counter()
                session.run(inputs)
                times.append(time.perf_counter() - started)
            took[name] = 1e3 * float(np.median(times))
        print(f"\n{library} {role}: " + ", ".join(f"{k} {v:.2f} ms" for k, v in took.items()))


def test_two_hundred_runs_leak_nothing(
    bundle: Bundle, golden: Golden, library: str, engines: Path
) -> None:
    session = _load(bundle, "decoder", library, engines, "fp16")
    inputs = _inputs(golden, "decoder", _named(session))
    cuda = Cuda.find()

    def free_bytes() -> int:
        return int(cuda.runtime.cudaMemGetInfo()[1])

    for _ in range(10):
        session.run(inputs)
    before = free_bytes()
    for _ in range(RUNS):
        session.run(inputs)
    assert before - free_bytes() <= ALLOWED_GROWTH_BYTES
    for _ in range(10):
        session = _load(bundle, "decoder", library, engines, "fp16")
        session.run(inputs)
    gc.collect()
    assert before - free_bytes() <= ALLOWED_GROWTH_BYTES


def test_when_the_gpu_fails_in_service_the_cpu_answers_and_says_so(
    bundle: Bundle, library: str, engines: Path, calls: Counter[str]
) -> None:
    said: list[str] = []
    wish = Wish(runtime=AUTO, threads=2, engines=engines)
    served = serve_bundle(bundle, wish, said=said.append)
    record = _ecg()
    on_gpu = served.pipeline.predict(record, Subject(), source_digest="0" * 64)
    assert on_gpu.model.runtime.startswith("TensorRT") and not said
    calls["cudaStreamSynchronize"] = -1
    on_cpu = served.pipeline.predict(record, Subject(), source_digest="0" * 64)
    assert on_cpu.model.runtime.startswith("onnxruntime")
    assert len(said) == 1 and "cudaStreamSynchronize" in said[0]
    expected = load_pipeline(bundle, OnnxRuntime(threads=2)).predict(
        record, Subject(), source_digest="0" * 64
    )
    assert on_cpu.estimates == expected.estimates
