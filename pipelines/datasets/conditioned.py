"""What a training set stores of one recording: its ECG and cine as training reads them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Severity
from node.domain.errors import InputError, PredictionError, UnusableData
from node.ecg.beats import heart_rate_bpm
from node.ecg.conditioning import trim_calibration_pulse
from node.ecg.quality import assess
from pipelines.datasets.heart_beat import stored_cine
from pipelines.datasets.recording import Recording, Refused
from pipelines.preprocessing import Recipe, condition


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEcg:
    """samples: (12, window) float16, as the recipe conditions."""

    samples: NDArray[np.float16] = field(repr=False)
    heart_rate_bpm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditioned:
    """A recording without its raw signals, what became of them, and what was refused of them.

    cine: (FRAMES, SIZE, SIZE) uint8.
    """

    recording: Recording
    ecg: StoredEcg | None = None
    cine: NDArray[np.uint8] | None = field(default=None, repr=False)
    refused: tuple[Refused, ...] = ()


def condition_recording(one: Recording | Refused, recipe: Recipe) -> Conditioned | Refused:
    """ECG and cine each by itself: what cannot be used is refused beside the other."""
    if isinstance(one, Refused):
        return one
    ecg, cine, refused = None, None, []
    try:
        ecg = None if one.ecg is None else _stored_ecg(one.ecg, recipe)
    except (InputError, PredictionError) as error:
        refused.append(refused_of(one, error))
    try:
        cine = None if one.cine is None else stored_cine(one.cine)
    except InputError as error:
        refused.append(refused_of(one, error))
    bare = replace(one, ecg=None, cine=None, measurements={})
    return Conditioned(recording=bare, ecg=ecg, cine=cine, refused=tuple(refused))


def refused_of(recording: Recording, error: InputError | PredictionError) -> Refused:
    return Refused(path=recording.source, reason=error.message, code=error.code)


def served_record(ecg: ECGRecord, recipe: Recipe) -> ECGRecord:
    """The record as a node hands it to a model: past the quality gate, no calibration pulse.

    Raises UnusableData, in the words of the gate.
    """
    report = assess(ecg, minimum_duration_s=recipe.minimum_duration_s)
    if not report.accepted:
        reasons = [each.message for each in report.findings if each.severity is Severity.REFUSE]
        raise UnusableData(" ".join(reasons))
    return trim_calibration_pulse(ecg)


def _stored_ecg(ecg: ECGRecord, recipe: Recipe) -> StoredEcg:
    record = served_record(ecg, recipe)
    rate = heart_rate_bpm(record)
    assert rate is not None  # of the gate, which wants two beats
    samples = condition(record, recipe).astype(np.float16)
    return StoredEcg(samples=samples, heart_rate_bpm=rate)
