"""The shipped bundle gives the same bytes: in every process, on any threads, in any batch."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from node.domain.identifiers import sha256
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.layout_sampler import LayoutSampler, seeded_noise
from pipelines.runtime.onnx import OnnxRuntime

ROOT = Path(__file__).parents[3]


def shipped(threads: int) -> EcgToCmr:
    return load_pipeline(
        read_bundle(shipped_bundles() / "simulated-4ch"), OnnxRuntime(threads=threads)
    )


def answered(pipeline: EcgToCmr, number: int = 0) -> str:
    """Digest of all that is estimated and drawn for an ECG of bells at 75 a minute."""
    phase = np.mod(np.arange(5000) / 500.0, 0.8)
    beat = np.exp(-0.5 * ((phase - 0.2) / 0.011) ** 2) + 0.2 * np.exp(
        -0.5 * ((phase - 0.4) / 0.04) ** 2
    )
    samples = np.outer(beat, np.linspace(-0.6, 1.0 + 0.1 * number, 12)).astype(np.float32)
    record = ECGRecord(samples=samples, leads=STANDARD_LEADS, sampling_frequency_hz=500.0)
    found = pipeline.predict(record, Subject(), source_digest=f"{number}")
    assert found.cine is not None
    return sha256(repr((found.estimates, found.diseases)).encode() + found.cine.frames.tobytes())


@pytest.fixture(scope="module")
def alone() -> list[str]:
    """One after the other, on one thread."""
    pipeline = shipped(1)
    return [answered(pipeline, number) for number in range(4)]


def test_another_process_gives_the_same_bytes(alone: list[str]) -> None:
    code = "from tests.unit.pipelines.test_repeatability import *; print(answered(shipped(2)))"
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert said.strip() == alone[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_ecgs_side_by_side_get_the_same_bytes_in_any_order(alone: list[str], threads: int) -> None:
    pipeline = shipped(threads)
    with ThreadPoolExecutor(4) as several:
        found = list(several.map(lambda number: answered(pipeline, number), [3, 1, 2, 0, 3]))
    assert found == [alone[number] for number in (3, 1, 2, 0, 3)]
    assert len(set(alone)) == 4


def test_a_sample_is_the_same_alone_and_among_sixteen() -> None:
    sampler = shipped(1).sampler
    assert isinstance(sampler, LayoutSampler)
    condition = np.random.Generator(np.random.Philox(3)).standard_normal((1, 136), np.float32)
    noise = seeded_noise(sampler.spec, "a")
    every = sampler.latents(condition, noise)
    for count in (1, 2, 3, 8):
        assert sampler.latents(condition, noise[:count]).tobytes() == every[:count].tobytes()
