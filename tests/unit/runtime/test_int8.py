"""The int8 graph: which products are in 8 bits, how near its numbers are, and that they repeat."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from node.domain.errors import BundleError, DeviceError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.parity import GATES
from pipelines.runtime import int8 as module
from pipelines.runtime.int8 import int8, sums_are_exact
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.self_test import golden_name


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(shipped_bundles() / "simulated-4ch")


def _path(bundle: Bundle, role: str) -> Path:
    return bundle.folder / bundle.manifest.graphs.offered[role].file


def _golden(bundle: Bundle, role: str, *names: str) -> dict[str, NDArray[np.float32]]:
    with np.load(bundle.folder / bundle.manifest.golden.file) as golden:
        return {name: golden[golden_name(role, name)] for name in names}


def test_the_shipped_bundle_proves_itself_in_int8(bundle: Bundle) -> None:
    identity = load_pipeline(bundle, OnnxRuntime(threads=1, precision="int8")).identity
    assert identity.precision == "int8"


def test_golden_vectors_pass_the_gate_with_room(bundle: Bundle) -> None:
    session = OnnxRuntime(threads=1, precision="int8").load(_path(bundle, "ecg"), {})
    found = session.run(_golden(bundle, "ecg", "ecg", "subject"))
    for name, expected in _golden(bundle, "ecg", *found).items():
        error = np.sqrt(np.mean((found[name] - expected) ** 2) / np.mean(expected**2))
        print(f"{name}: relative root mean square {error:.1e}")
        assert 0 < error < GATES["int8"].root_mean_square / 2


def test_wide_products_with_tokens_are_in_8_bits_and_nothing_else(bundle: Bundle) -> None:
    before = [node.op_type for node in onnx.load(_path(bundle, "ecg")).graph.node]
    after = [node.op_type for node in onnx.load_from_string(int8(_path(bundle, "ecg"))).graph.node]
    assert after.count("MatMulInteger") == 16  # four in each of four blocks
    exact = ("MatMul", "Gemm")  # the quantizer writes the second as the first and a sum
    assert sum(map(after.count, exact)) == sum(map(before.count, exact)) - 16


@pytest.mark.parametrize("role", ["layout", "decoder"])
def test_a_graph_without_them_is_served_as_it_is(bundle: Bundle, role: str) -> None:
    assert int8(_path(bundle, role)) == _path(bundle, role).read_bytes()


def test_inputs_and_outputs_stay_as_they_were(bundle: Bundle) -> None:
    path = _path(bundle, "ecg")
    fewer, exact = (
        OnnxRuntime(threads=1, precision=each).load(path, {}) for each in ("int8", "fp32")
    )
    assert (fewer.inputs, fewer.outputs) == (exact.inputs, exact.outputs)


def test_threads_and_processes_give_the_same_bytes() -> None:
    assert answered(1) == answered(2)
    code = "from tests.unit.runtime.test_int8 import *; print(answered(2))"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert said.strip() == answered(1)


def answered(threads: int) -> str:
    """Every number for the golden ECG, bit for bit."""
    bundle = read_bundle(shipped_bundles() / "simulated-4ch")
    session = OnnxRuntime(threads=threads, precision="int8").load(_path(bundle, "ecg"), {})
    found = session.run(_golden(bundle, "ecg", "ecg", "subject"))
    return "".join(found[name].tobytes().hex() for name in sorted(found))


def test_nothing_is_said_of_what_the_quantizer_would_rather_have(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        int8(_path(bundle, "ecg"))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(("flags", "largest"), [("avx2 avx512_vnni", 127), ("avx2 avx512f", 64)])
def test_weights_have_8_bits_where_their_sums_do_not_overflow(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str, largest: int
) -> None:
    cpu = tmp_path / "cpuinfo"
    cpu.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\n", encoding="utf-8")
    monkeypatch.setattr(module, "CPU", cpu)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    weights = [
        onnx.numpy_helper.to_array(each)
        for each in onnx.load_from_string(int8(_path(bundle, "ecg"))).graph.initializer
        if each.data_type == onnx.TensorProto.INT8
    ]
    assert max(int(np.abs(each.astype(np.int16)).max()) for each in weights) == largest


def test_a_processor_that_does_not_say_gets_7_bits_and_an_arm_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CPU", tmp_path / "none")
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    assert not sums_are_exact()
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    assert sums_are_exact()


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ecg.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"ecg\.onnx is not an ONNX graph"):
        int8(path)


def test_without_the_package_it_says_what_to_install(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DeviceError, match=r'pip install "cardionode\[int8\]"'):
        int8(_path(bundle, "ecg"))
