"""`cardionode bundle build-engines`, over twins of NVIDIA's libraries; not run on hardware."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.cli.bundle import app
from node.domain.errors import ConfigurationError, DeviceError
from tests.unit.runtime.nvidia_twin import CudaTwin, LibraryTwin

QUICK = Path(__file__).parents[2] / "data" / "bundles"
CHOSEN = ["quick-test", "--set", f'model.folders=["{QUICK}"]']


def _said(engines: Path, *words: str) -> str:
    words = ("build-engines", *CHOSEN, "--set", f"model.engines={engines}", *words)
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_what_the_bundle_needs_is_built_once_and_said_where(
    library: LibraryTwin, engines: Path
) -> None:
    first = _said(engines)
    assert "ecg.onnx" in first and "cine.onnx" in first
    assert "TensorRT 11.4.0 Twin GPU SM89, fp16, are in" in first
    assert "2 built now" in first
    assert len(list(engines.glob("*.plan"))) == 2
    assert "none built now" in _said(engines)
    assert library.builds == 2


def test_the_configured_precision_is_built(library: LibraryTwin, engines: Path) -> None:
    assert "SM89, fp32, are in" in _said(engines, "--set", "model.precision=fp32")


def test_where_there_is_no_gpu_it_says_so_and_what_would_help(
    library: LibraryTwin, cuda: CudaTwin, engines: Path
) -> None:
    cuda.count = 0
    with pytest.raises(DeviceError) as caught:
        _said(engines)
    message = caught.value.message
    assert message.startswith("no engines can be built here: CUDA finds no NVIDIA GPU")
    assert message.count("NVIDIA GPU") == 1
    assert not engines.exists()


def test_a_runtime_without_engines_is_a_matter_of_the_configuration(engines: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"model\.runtime 'onnx' has no engines"):
        _said(engines, "--set", "model.runtime=onnx")
