"""The quick bundle, copies of it to spoil, and a plain ECG with a known rate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from node.domain.identifiers import sha256
from pipelines.bundle import CHECKSUMS, MANIFEST, Bundle, read_bundle
from pipelines.catalog import load_pipeline
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.runtime.onnx import OnnxRuntime

QUICK = Path(__file__).parents[2] / "data" / "bundles" / "quick"


@pytest.fixture(scope="session")
def quick() -> Bundle:
    return read_bundle(QUICK)


@pytest.fixture(scope="session")
def pipeline(quick: Bundle) -> EcgToCmr:
    return load_pipeline(quick, OnnxRuntime(threads=1))


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the quick bundle that a test may spoil."""
    return Path(shutil.copytree(QUICK, tmp_path / "bundles" / "quick"))


@pytest.fixture
def reseal() -> Callable[[Path], Path]:
    return _reseal


@pytest.fixture
def edited(copied: Path) -> Callable[[Callable[[dict[str, Any]], Any]], Path]:
    """The copy with its manifest changed and its checksums made again."""

    def edit(change: Callable[[dict[str, Any]], Any]) -> Path:
        path = copied / MANIFEST
        manifest = json.loads(path.read_text(encoding="utf-8"))
        change(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")
        return _reseal(copied)

    return edit


def _reseal(folder: Path) -> Path:
    """Make the checksums again, as one who alters a bundle on purpose would."""
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != CHECKSUMS
    )
    lines = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture
def make_ecg() -> Callable[..., ECGRecord]:
    return _make_ecg


def _make_ecg(
    *, frequency_hz: float = 500.0, rate_bpm: float = 75.0, seconds: float = 10.0, size: float = 1.0
) -> ECGRecord:
    """P, QRS and T as Gaussian bells below 40 Hz, one gain a lead; R is 1 mV · size in the best."""
    time = np.arange(round(seconds * frequency_hz)) / frequency_hz
    phase = np.mod(time, 60.0 / rate_bpm)
    beat = sum(
        height * np.exp(-0.5 * ((phase - centre) / width) ** 2)
        for height, centre, width in ((0.12, 0.10, 0.02), (1.0, 0.20, 0.011), (0.25, 0.31, 0.03))
    )
    samples = size * np.outer(beat, np.linspace(-0.6, 1.0, 12))
    return ECGRecord(
        samples=samples.astype(np.float32), leads=STANDARD_LEADS, sampling_frequency_hz=frequency_hz
    )
