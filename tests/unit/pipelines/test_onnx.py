"""ONNX Runtime on the CPU: what it is asked for and how it fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from node.domain.errors import BundleError, PredictionError
from pipelines.bundle import Bundle
from pipelines.runtime.onnx import OnnxRuntime


def test_the_runtime_names_its_version_and_device() -> None:
    assert OnnxRuntime(threads=1).name == f"onnxruntime {onnxruntime.__version__} CPU"


def test_a_graph_is_loaded_on_the_cpu_without_spinning(quick: Bundle) -> None:
    session = OnnxRuntime(threads=2).load(quick.folder / "graphs" / "ecg.onnx", {})
    options = session.inference.get_session_options()
    assert session.inference.get_providers() == ["CPUExecutionProvider"]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_one_and_two_threads_give_the_same_bytes(quick: Bundle) -> None:
    chance = np.random.default_rng(0)
    inputs = {
        "ecg": chance.normal(size=(1, 12, 2500)).astype(np.float32),
        "subject": np.zeros((1, 8), np.float32),
    }
    path = quick.folder / "graphs" / "ecg.onnx"
    one, two = (OnnxRuntime(threads=n).load(path, {}).run(inputs) for n in (1, 2))
    assert {k: v.tobytes() for k, v in one.items()} == {k: v.tobytes() for k, v in two.items()}


def test_infinity_is_no_answer_and_the_output_is_named(quick: Bundle) -> None:
    session = OnnxRuntime(threads=1).load(quick.folder / "graphs" / "cine.onnx", {})
    with pytest.raises(PredictionError, match=r"cine\.onnx gave NaN or infinity in output frames"):
        session.run({"latent": np.full((1, 4), np.nan, np.float32)})


@pytest.mark.parametrize(
    "latent", [np.zeros((1, 5), np.float32), np.zeros((1, 4), np.float64)], ids=["shape", "dtype"]
)
def test_an_input_the_graph_does_not_take_is_no_answer(
    quick: Bundle, latent: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> None:
    session = OnnxRuntime(threads=1).load(quick.folder / "graphs" / "cine.onnx", {})
    with pytest.raises(PredictionError, match=r"graph cine\.onnx failed \(InvalidArgument\)"):
        session.run({"latent": latent})


def test_a_missing_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"none\.onnx is not a graph"):
        OnnxRuntime(threads=1).load(tmp_path / "none.onnx", {})
