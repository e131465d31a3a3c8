"""OpenVINO on the CPU: the same answers as ONNX Runtime, in the precision that is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from node.domain.errors import BundleError, DeviceError, PredictionError
from pipelines.bundle import Bundle, read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.runtime import Session
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.openvino import OpenVinoRuntime

SHIPPED = shipped_bundles() / "simulated-4ch"


@pytest.fixture(scope="module")
def runtime() -> OpenVinoRuntime:
    return OpenVinoRuntime(threads=1)


def test_the_runtime_names_its_version_and_device(runtime: OpenVinoRuntime) -> None:
    assert runtime.name.startswith("OpenVINO 20")
    assert runtime.name.endswith(" CPU")
    assert runtime.precision == "fp32"


def test_fp32_is_said_since_bf16_is_its_own_default(
    runtime: OpenVinoRuntime, quick: Bundle
) -> None:
    session = runtime.load(quick.folder / "graphs" / "ecg.onnx", {})
    assert session.compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert session.compiled.get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("role", ["ecg", "cine"])
def test_it_answers_as_onnx_runtime_does(
    runtime: OpenVinoRuntime, quick: Bundle, role: str
) -> None:
    path = quick.folder / "graphs" / f"{role}.onnx"
    ours, theirs = runtime.load(path, {}), OnnxRuntime(threads=1).load(path, {})
    given, expected = ours.run(_inputs(ours)), theirs.run(_inputs(ours))
    assert set(given) == set(expected)
    for name, value in given.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=2e-5)
    assert {name: value.tobytes() for name, value in ours.run(_inputs(ours)).items()} == {
        name: value.tobytes() for name, value in given.items()
    }


def test_an_open_dimension_has_lost_its_name_and_the_shipped_bundle_is_served_all_the_same(
    runtime: OpenVinoRuntime,
) -> None:
    layout = runtime.load(SHIPPED / "graphs" / "layout.onnx", {})
    assert {tensor.name: tensor.shape for tensor in layout.inputs} == {
        "condition": (None, 136),
        "noise": (None, 96),
    }
    identity = load_pipeline(read_bundle(SHIPPED), runtime).identity
    assert (identity.runtime, identity.precision) == (runtime.name, "fp32")


def test_an_input_the_graph_does_not_take_is_no_answer(
    runtime: OpenVinoRuntime, quick: Bundle
) -> None:
    session = runtime.load(quick.folder / "graphs" / "cine.onnx", {})
    with pytest.raises(PredictionError, match=r"graph cine\.onnx failed"):
        session.run({"latent": np.zeros((1, 5), np.float32)})


def test_infinity_is_no_answer(runtime: OpenVinoRuntime, quick: Bundle) -> None:
    session = runtime.load(quick.folder / "graphs" / "cine.onnx", {})
    with pytest.raises(PredictionError, match=r"cine\.onnx gave NaN or infinity"):
        session.run({"latent": np.full((1, 4), np.nan, np.float32)})


def test_what_is_no_graph_is_refused(runtime: OpenVinoRuntime, tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"none\.onnx is not a graph that OpenVINO"):
        runtime.load(tmp_path / "none.onnx", {})


def _inputs(session: Session) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    chance = np.random.Generator(np.random.Philox(1))
    return {
        tensor.name: chance.standard_normal([int(n or 1) for n in tensor.shape], np.float32)
        for tensor in session.inputs
    }


def test_a_processor_without_bf16_is_not_said_to_compute_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Core:
        def get_property(self, device: str, name: str) -> list[str]:
            assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
            return ["FP32", "INT8", "BIN", "EXPORT_IMPORT"]

    monkeypatch.setattr(openvino, "Core", Core)
    assert OpenVinoRuntime(threads=1).precision == "fp32"
    with pytest.raises(DeviceError, match="does not compute in bf16"):
        OpenVinoRuntime(threads=1, precision="bf16")
