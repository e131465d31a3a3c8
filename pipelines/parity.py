"""How far a runtime may stray from the bundle's maker: by tensor, and by what a reader would see.

In fp32 the bundle's own tolerance holds. Fewer bits are served only where the golden ECG shows that
no reader could tell: ejection fractions, volumes and pictures stay what they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.derivation import derive
from pipelines.manifest import Manifest
from pipelines.runtime import Array
from pipelines.similarity import structural_similarity

Expected = NDArray[np.float32]
EJECTION_FRACTION_PERCENT: Final = 0.5
EJECTION_FRACTIONS: Final = frozenset({"24103", "24109", "24113", "24117"})
"""Field ids, of both ventricles and atria: a network may estimate one directly."""
VOLUME_ML: Final = 1.0
LEAST_SIMILARITY: Final = 0.99
"""SSIM of a frame with that of the maker."""
_RATE_BPM: Final = 60.0  # of cardiac output alone, which has no limit here


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far one output strayed from what the bundle's maker got for the golden ECG."""

    output: str
    largest: float
    """Absolute difference, in the output's own unit."""
    allowed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeError:
    """Of one tensor, over the size of what is expected."""

    root_mean_square: float
    largest: float
    """Over 1 where all that is expected is smaller."""

    @classmethod
    def of(cls, given: Array, expected: Expected) -> RelativeError:
        error = given.astype(np.float64) - expected
        size = float(np.sqrt(np.mean(expected.astype(np.float64) ** 2)))
        return cls(
            root_mean_square=float(np.sqrt(np.mean(error**2))) / max(size, 1e-6),
            largest=float(np.abs(error).max()) / max(1.0, float(np.abs(expected).max())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The most that a tensor may err."""

    root_mean_square: float
    largest: float

    def passes(self, error: RelativeError) -> bool:
        return error.root_mean_square <= self.root_mean_square and error.largest <= self.largest


GATES: Final[Mapping[str, Gate]] = {
    "fp16": Gate(root_mean_square=3e-3, largest=2e-2),
    "bf16": Gate(root_mean_square=2e-2, largest=1e-1),
    "int8": Gate(root_mean_square=2e-2, largest=1e-1),
}


def reader_faults(manifest: Manifest, given: Array, expected: Expected) -> Iterator[str]:
    """What of the phenotypes (1, P) a reader would see differ, in words."""
    ours, theirs = (_values(manifest, each) for each in (given, expected))
    for spec in manifest.phenotypes:
        derived = spec.derivation is not None and spec.derivation.kind == "ejection-fraction"
        fraction = derived or spec.field_id in EJECTION_FRACTIONS
        limit = EJECTION_FRACTION_PERCENT if fraction else VOLUME_ML
        if not fraction and spec.unit != "mL":
            continue
        differs = abs(ours[spec.field_id] - theirs[spec.field_id])
        if not differs <= limit:  # so that NaN is a fault
            yield f"{spec.name} by {differs:.2f} {spec.unit}"


def picture_fault(given: Array, expected: Expected) -> str | None:
    """Frames (frames, rows, columns) in [0, 1]: what a reader would see differ, in words."""
    alike = [
        structural_similarity(ours[np.newaxis], theirs[np.newaxis])
        for ours, theirs in zip(given, expected, strict=True)
    ]
    if all(each >= LEAST_SIMILARITY for each in alike):  # so that NaN is a fault
        return None
    return f"a frame's SSIM is {min(alike):.3f}"


def _values(manifest: Manifest, phenotypes: Array | Expected) -> dict[str, float]:
    values: dict[str, float] = {}
    for index, spec in enumerate(manifest.phenotypes):
        value = (
            float(phenotypes[0, index])
            if spec.derivation is None
            else derive(spec.derivation, values, _RATE_BPM)
        )
        values[spec.field_id] = min(max(value, spec.minimum), spec.maximum)
    return values
