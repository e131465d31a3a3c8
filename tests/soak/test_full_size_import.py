"""The published size, whole: files of 2.5 GB and random weights become a bundle that draws a cine.

Names, shapes and containers are the published ones; the weights are not.
"""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Subject
from pipelines.cardionets.published_bundle import import_checkpoints
from pipelines.cardionets.published_manifest import Checkpoints, DiseaseFile
from pipelines.catalog import load_pipeline
from pipelines.runtime.onnx import OnnxRuntime
from tests.conftest import absent
from tests.unit.cardionets.published_files import (
    write_autoencoder,
    write_ecg,
    write_generator,
)

MINUTES, GIBIBYTES = 90, 16


@contextmanager
def _told(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{what}: {time.monotonic() - started:.0f} s, peak {peak:.1f} GiB", flush=True)


def _state(vectors: Path, name: str) -> dict[str, Tensor]:
    """Random weights under the published names: normal, 1 / sqrt(inputs); norms are 1 and 0."""
    content = json.loads((vectors / f"{name}.state_dict.json").read_text(encoding="utf-8"))
    chance = torch.Generator().manual_seed(0)
    state = {}
    for key, entry in content["state_dict"].items():
        shape = entry["shape"]
        if entry["dtype"] == "int64":
            state[key] = torch.zeros(shape, dtype=torch.int64)
        elif len(shape) > 1:
            spread = 1.0 / math.sqrt(math.prod(shape[1:]))
            state[key] = torch.randn(shape, generator=chance) * spread
        else:
            flat = key.endswith(("weight", "running_var"))
            state[key] = torch.ones(shape) if flat else torch.zeros(shape)
    return state


def _write(vectors: Path, folder: Path) -> Checkpoints:
    disease = write_ecg(
        folder / "trained_by_MIMIC_CM_best-auc.pth",
        _state(vectors, "ecg_disease"),
        {"AUC": np.float64(0.8)},
    )
    return Checkpoints(
        ecg=write_ecg(
            folder / "aligned_ECG_encoder.pth", _state(vectors, "ecg_encoder"), {"loss": 0.5}
        ),
        generator=write_generator(folder / "checkpoint-last.pth", _state(vectors, "mar")),
        autoencoder=write_autoencoder(folder / "checkpoint-0004.pth", _state(vectors, "vae")),
        diseases=(DiseaseFile(field_id="cardiomyopathy", name="Cardiomyopathy", file=disease),),
    )


@pytest.mark.soak
def test_files_of_the_published_size_become_a_bundle_that_draws_the_same_cine_twice(
    shared: Path, tmp_path: Path
) -> None:
    vectors = shared / "reference" / "vectors"
    if not vectors.is_dir():
        absent(f"no reference vectors: {vectors} is not there")
    started = time.monotonic()
    with _told("writing the files"):
        files = _write(vectors, tmp_path)
    with _told("importing"):
        bundle = import_checkpoints(files, tmp_path / "bundle", name="full-size")
    with _told("loading, with the self-test"):
        pipeline = load_pipeline(bundle, OnnxRuntime(threads=2))
    seconds = np.arange(5000) / 500.0
    beat = np.exp(-0.5 * ((np.mod(seconds, 0.8) - 0.3) / 0.011) ** 2)
    record = ECGRecord(
        samples=np.outer(beat, np.linspace(-0.6, 1.0, 12)).astype(np.float32),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=500.0,
    )
    drawn = []
    for turn in ("first", "second"):
        with _told(f"{turn} prediction"):
            prediction = pipeline.predict(record, Subject(), source_digest="0" * 64)
        assert prediction.cine is not None
        assert prediction.cine.frames.shape == (50, 96, 96)
        assert prediction.cine.frames.std() > 1.0  # of 255: a picture, if of nothing
        drawn.append(prediction.cine.frames.tobytes())
    assert drawn[0] == drawn[1]
    assert bundle.manifest.capabilities_text == "1 disease, cine"
    assert time.monotonic() - started < 60 * MINUTES
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < GIBIBYTES * 2**20  # of KiB
