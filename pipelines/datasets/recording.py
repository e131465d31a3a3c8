"""What every reader of real data gives: a subject's recordings, or what was refused and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Subject
from node.domain.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A number of the device with the unit its file states; empty where it states none."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquiredCine:
    """One cine of a scanner, in the order of the heart beat.

    frames: (n_frames, rows, columns) float32 in the scanner's arbitrary signal units, read-only.
    """

    frames: NDArray[np.float32] = field(repr=False)
    pixel_spacing_mm: tuple[float, float]
    """Between rows, then between columns, as DICOM's Pixel Spacing."""
    trigger_times_ms: tuple[float, ...] | None = None
    """After the R wave, one a frame, rising; None where the frames carry their order only."""
    series_description: str = ""

    def __post_init__(self) -> None:
        if self.frames.ndim != 3 or min(self.pixel_spacing_mm) <= 0:
            raise ValueError("frames must be (n, rows, columns) and pixel spacing above 0")
        if self.trigger_times_ms is not None and len(self.trigger_times_ms) != len(self.frames):
            raise ValueError("one trigger time a frame")
        self.frames.setflags(write=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What one source holds of one subject; what it does not hold is None."""

    subject_id: str = field(repr=False)
    """Opaque: the key of the split, never a number to calculate with and never printed."""
    source: Path = field(repr=False)
    subject: Subject = field(default_factory=Subject)
    ecg: ECGRecord | None = None
    measurements: Mapping[str, Measurement] = field(default_factory=dict, repr=False)
    """What the ECG device measured, by the names of its file."""
    cine: AcquiredCine | None = None
    phenotypes: Mapping[str, float] | None = field(default=None, repr=False)
    """By field id, in the unit of `pipelines.cohort.phenotypes`; missing ones are absent."""
    fold: int | None = None
    """The fold that the cohort's publisher gave the subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A file, or a row or column of it, that gave nothing, and why. `reason` holds no patient data.

    The path is kept apart because some cohorts name files by subject.
    """

    path: Path
    reason: str
    code: str

    @classmethod
    def because(cls, path: Path, error: InputError) -> Refused:
        return cls(path=path, reason=error.message, code=error.code)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file of a folder tree in the order of its path, so that two runs agree."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
