"""What a bundle answers for one ECG."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One phenotype: a value with its prediction interval, rounded as every result shows it."""

    field_id: str
    """The bundle's field id, e.g. "24103" (UK Biobank field of LV ejection fraction)."""
    name: str
    value: float
    lower: float
    upper: float
    unit: str
    """UCUM."""
    decimals: int
    """Digits after the point that every result shows; value and bounds are rounded to it."""

    def text(self, number: float) -> str:
        """The number as every result prints it."""
        return f"{number:.{self.decimals}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseProbability:
    """One disease screen: calibrated probability, 0 to 1, three decimals in every result."""

    field_id: str
    name: str
    probability: float

    def text(self) -> str:
        return f"{self.probability:.3f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far the samples lie apart that a cine is the mean of."""

    samples: int
    grey_levels: NDArray[np.uint8] = field(repr=False)
    """(n_frames, rows, columns): each pixel's standard deviation among the samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cine:
    """A synthetic cine of one cardiac cycle.

    frames: (n_frames, rows, columns) uint8, frame 0 at end-diastole.
    """

    frames: NDArray[np.uint8] = field(repr=False)
    frame_time_ms: float
    """RR interval of the ECG / number of frames."""
    view: str
    """What the picture stands for, e.g. "long-axis four-chamber"."""
    spread: Spread | None = None
    """None where it is one sample."""

    def __post_init__(self) -> None:
        if self.frames.ndim != 3 or self.frames.dtype != np.uint8:
            raise ValueError("frames must be (n_frames, rows, columns) uint8")
        self.frames.setflags(write=False)

    @property
    def end_systole(self) -> int:
        """The frame that differs most from end-diastole, by its pixels."""
        distances = np.abs(self.frames.astype(np.int16) - self.frames[0]).mean(axis=(1, 2))
        return int(distances.argmax())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIdentity:
    """Which bundle answered, on what: written into every result."""

    bundle: str
    """Name of the bundle."""
    version: str
    digest: str
    """SHA-256 over the bundle's checksums: two bundles with one name differ here."""
    runtime: str
    """e.g. "onnxruntime 1.32.0 CPU"."""
    precision: str
    """e.g. "fp32"."""
    preset: str = ""
    """Of the bundle's presets, the one that drew the cine; nothing: as the bundle draws."""
    intended_use: str
    training_data: str
    simulated: bool
    """Trained on a simulated cohort: results say "simulated, not for clinical use"."""
    interval_coverage: float
    """Nominal coverage of every prediction interval, e.g. 0.9."""

    @property
    def label(self) -> str:
        """For lists and logs, e.g. "simulated-4ch/mean 1.0.0"."""
        return f"{'/'.join([self.bundle, *([self.preset] if self.preset else [])])} {self.version}"

    @property
    def how(self) -> str:
        """As every result says it, e.g. "preset mean, onnxruntime 1.32.0 CPU, fp32"."""
        preset = [f"preset {self.preset}"] if self.preset else []
        return ", ".join([*preset, self.runtime, self.precision])


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """All that a bundle offers for one ECG; what it does not offer is empty or None."""

    model: ModelIdentity
    estimates: tuple[Estimate, ...] = ()
    diseases: tuple[DiseaseProbability, ...] = ()
    cine: Cine | None = None
    heart_rate_bpm: float
    """Measured on the ECG."""
    findings: tuple[Finding, ...] = ()
    """Notes about this ECG and subject that every result repeats."""
