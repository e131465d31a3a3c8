"""Runtimes and precisions side by side: what they cost, and what a reader would see of them.

The gates are those at which a node decides whether to serve a bundle with fewer bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.ecgs import record_of
from benchmarks.effort import Effort
from benchmarks.shipped import shipped_bundle
from benchmarks.timing import Said, Wall, take_turns
from node.domain.ecg import ECGRecord, Subject
from node.domain.errors import BundleError, DeviceError
from pipelines.catalog import load_pipeline
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.graph_spec import Sizes
from pipelines.manifest import Manifest
from pipelines.parity import EJECTION_FRACTION_PERCENT, LEAST_SIMILARITY, VOLUME_ML
from pipelines.preprocessing import RECIPES, condition, subject_vector
from pipelines.runtime import Array, Runtime, Session
from pipelines.runtime.half_precision import half_precision
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.runtime.openvino import OpenVinoRuntime
from pipelines.similarity import structural_similarity

REFERENCE: Final = "onnx fp32"
NUMERICS: Final = "onnx fp16 (numerics only)"
"""What TensorRT builds for fp16, run on a CPU that has to cast: its time says nothing."""
LVEDV, LVESV = "24100", "24101"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strayed:
    """The most that any ECG strayed from ONNX Runtime in fp32."""

    lvef_percent: float
    lvedv_ml: float
    lvesv_ml: float
    least_similarity: float
    """SSIM of the frame that is least like its own."""

    @property
    def passes(self) -> bool:
        return (
            self.lvef_percent <= EJECTION_FRACTION_PERCENT
            and max(self.lvedv_ml, self.lvesv_ml) <= VOLUME_ML
            and self.least_similarity >= LEAST_SIMILARITY
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeFigures:
    """Of `predict`; without figures where the runtime does not serve the bundle."""

    name: str
    predict: Wall | None = None
    strayed: Strayed | None = None
    refused: str = ""
    """Why it does not."""

    @property
    def serves(self) -> bool:
        """Whether its figures are within the gates."""
        return self.strayed is not None and self.strayed.passes


def measure_runtimes(
    ecgs: Sequence[bytes], threads: int, effort: Effort, said: Said
) -> tuple[RuntimeFigures, ...]:
    served: dict[str, EcgToCmr] = {}
    refused: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        for name, make in _runtimes(threads, Path(folder)).items():
            said(f"runtime {name}")
            try:
                served[name] = load_pipeline(shipped_bundle(), make())
            except (BundleError, DeviceError) as error:
                refused[name] = error.message
    records = [record_of(content) for content in ecgs]

    def predict(pipeline: EcgToCmr, call: int) -> object:
        record = records[call % len(records)]
        return pipeline.predict(record, Subject(), source_digest=f"{call:064}")

    timed = {name: each for name, each in served.items() if name != NUMERICS}
    taken = take_turns({name: partial(predict, each) for name, each in timed.items()}, effort)
    readings = {name: [_read(each, record) for record in records] for name, each in served.items()}
    return tuple(
        RuntimeFigures(
            name=name,
            predict=taken.get(name),
            strayed=_strayed(readings[name], readings[REFERENCE]),
        )
        for name in served
    ) + tuple(RuntimeFigures(name=name, refused=why) for name, why in refused.items())


def _runtimes(threads: int, folder: Path) -> dict[str, Callable[[], Runtime]]:
    return {
        REFERENCE: lambda: OnnxRuntime(threads=threads),
        "onnx int8": lambda: OnnxRuntime(threads=threads, precision="int8"),
        "openvino fp32": lambda: OpenVinoRuntime(threads=threads),
        "openvino bf16": lambda: OpenVinoRuntime(threads=threads, precision="bf16"),
        NUMERICS: lambda: _HalfPrecision(OnnxRuntime(threads=threads), folder),
    }


@dataclass(frozen=True, slots=True)
class _HalfPrecision:
    """ONNX Runtime with the graphs that TensorRT is given for fp16."""

    runtime: OnnxRuntime
    folder: Path
    precision: str = "fp16"

    @property
    def name(self) -> str:
        return self.runtime.name

    def load(self, path: Path, sizes: Sizes) -> Session:
        halved = self.folder / path.name
        halved.write_bytes(half_precision(path.read_bytes(), path.name))
        return self.runtime.load(halved, sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """Of one ECG, before anything is rounded."""

    lvedv_ml: float
    lvesv_ml: float
    frames: Array = field(repr=False)

    @property
    def lvef_percent(self) -> float:
        return 100.0 * (self.lvedv_ml - self.lvesv_ml) / self.lvedv_ml


def _read(pipeline: EcgToCmr, record: ECGRecord) -> _Reading:
    manifest, sampler = pipeline.manifest, pipeline.sampler
    assert sampler is not None  # of the shipped bundle
    found = pipeline.ecg.run(
        {
            "ecg": condition(record, RECIPES[manifest.preprocessing])[np.newaxis],
            "subject": subject_vector(Subject())[np.newaxis],
        }
    )
    return _Reading(
        lvedv_ml=float(found["phenotypes"][0, _place(manifest, LVEDV)]),
        lvesv_ml=float(found["phenotypes"][0, _place(manifest, LVESV)]),
        frames=sampler.shown(found["condition"], "runtimes", pipeline.identity.digest).mean,
    )


def _place(manifest: Manifest, field_id: str) -> int:
    return [spec.field_id for spec in manifest.phenotypes].index(field_id)


def _strayed(ours: Sequence[_Reading], theirs: Sequence[_Reading]) -> Strayed:
    pairs = list(zip(ours, theirs, strict=True))
    return Strayed(
        lvef_percent=max(abs(a.lvef_percent - b.lvef_percent) for a, b in pairs),
        lvedv_ml=max(abs(a.lvedv_ml - b.lvedv_ml) for a, b in pairs),
        lvesv_ml=max(abs(a.lvesv_ml - b.lvesv_ml) for a, b in pairs),
        least_similarity=min(
            structural_similarity(mine[np.newaxis], yours[np.newaxis])
            for a, b in pairs
            for mine, yours in zip(a.frames, b.frames, strict=True)
        ),
    )
