"""The fp16 graph, run by ONNX Runtime: how near its numbers are to those of fp32."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from node.domain.errors import BundleError, DeviceError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import shipped_bundles
from pipelines.parity import GATES, RelativeError
from pipelines.runtime.half_precision import half_precision
from pipelines.self_test import golden_name
from tests.unit.runtime.drawing_graphs import drawing_graphs
from tests.unit.runtime.small_graphs import clock, doubling

ROLES = ["ecg", "layout", "decoder"]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(shipped_bundles() / "simulated-4ch")


@pytest.fixture(scope="module")
def halved(bundle: Bundle) -> dict[str, bytes]:
    return {
        role: half_precision((bundle.folder / spec.file).read_bytes(), spec.file)
        for role, spec in bundle.manifest.graphs.offered.items()
    }


@pytest.mark.parametrize("role", ROLES)
def test_golden_vectors_pass_the_gate_in_fp16(
    bundle: Bundle, halved: dict[str, bytes], role: str
) -> None:
    session = onnxruntime.InferenceSession(halved[role], providers=["CPUExecutionProvider"])
    with np.load(bundle.folder / bundle.manifest.golden.file) as golden:
        names = [value.name for value in session.get_outputs()]
        given = session.run(
            names, {v.name: golden[golden_name(role, v.name)] for v in session.get_inputs()}
        )
        for name, found in zip(names, given, strict=True):
            expected = golden[golden_name(role, name)]
            error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
            print(f"{role} {name}: relative root mean square {error:.1e}")
            assert GATES["fp16"].passes(RelativeError.of(found, expected))


@pytest.mark.parametrize("role", ROLES)
def test_weights_are_halved_and_what_goes_in_and_out_is_as_it_was(
    bundle: Bundle, halved: dict[str, bytes], role: str
) -> None:
    spec = bundle.manifest.graphs.offered[role]
    before = onnx.load_model(bundle.folder / spec.file).graph
    after = onnx.load_model_from_string(halved[role]).graph
    assert list(after.input) == list(before.input)
    assert list(after.output) == list(before.output)
    assert len(halved[role]) < 0.65 * (bundle.folder / spec.file).stat().st_size
    exact = [weights for weights in after.initializer if weights.data_type == TensorProto.FLOAT]
    assert sum(int(np.prod(weights.dims)) for weights in exact) < 500  # of angles, of sizes


def test_another_process_makes_the_same_bytes(
    bundle: Bundle, halved: dict[str, bytes], tmp_path: Path
) -> None:
    path = bundle.folder / bundle.manifest.graphs.ecg.file
    out = tmp_path / "halved.onnx"
    code = (
        "from pathlib import Path; from pipelines.runtime.half_precision import half_precision; "
        f"Path({str(out)!r}).write_bytes(half_precision(Path({str(path)!r}).read_bytes(), 'ecg'))"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": "7", "PYTHONPATH": "."}
    )
    assert out.read_bytes() == halved["ecg"]


def test_angles_stay_exact_though_fp16_has_no_fractions_of_hundreds() -> None:
    session = onnxruntime.InferenceSession(
        half_precision(clock(), "clock.onnx"), providers=["CPUExecutionProvider"]
    )
    x = np.array([[0.3, 437.7, 777.2]], np.float32)
    (found,) = session.run(["y"], {"x": x})
    np.testing.assert_allclose(found, np.cos(x + 0.25) * [[0.5, -1.0, 2.0]], atol=1e-3)
    rounded = x.astype(np.float16).astype(np.float32)
    assert np.abs(np.cos(rounded + 0.25) - np.cos(x + 0.25)).max() > 0.1  # what would be lost


@pytest.mark.parametrize("role", ["trunk", "head"])
@pytest.mark.parametrize("head", ["diffusion", "flow"])
def test_trunk_and_head_of_a_sampler_pass_the_gate_at_every_time(head: str, role: str) -> None:
    graph, inputs = drawing_graphs(head)[role]
    exact, halved = (
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"])
        for each in (graph, half_precision(graph, f"{role}.onnx"))
    )
    for time in (0.0, 1.0, 437.7, 777.2, 999.0):
        given = inputs | ({"t": np.full(3, time, np.float32)} if role == "head" else {})
        (expected,), (found,) = (session.run(None, given) for session in (exact, halved))
        assert GATES["fp16"].passes(RelativeError.of(found, expected))


def test_the_name_of_an_open_dimension_is_kept() -> None:
    graph = onnx.load_model_from_string(half_precision(doubling(), "doubling.onnx")).graph
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "samples"


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(BundleError, match=r"rubbish\.onnx is not an ONNX graph"):
        half_precision(b"\x0frubbish", "rubbish.onnx")


def test_without_onnx_there_is_no_fp16_and_the_way_out_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DeviceError, match=r'set model\.precision = "fp32"'):
        half_precision(doubling(), "doubling.onnx")
