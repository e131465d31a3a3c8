"""What the node asks of a model, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from node.domain.ecg import ECGRecord, Finding, Subject
from node.domain.prediction import ModelIdentity, Prediction

Watch = Callable[[float], None]
"""Told what share of a prediction is done, before each longer step; what it raises ends it."""


def unwatched(share: float) -> None:
    """Watches nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What a pipeline needs of an ECG; the quality gate checks it before `predict`."""

    minimum_duration_s: float
    age_years: tuple[float, float]
    """Ages of the training population; outside it a result carries a note."""


class Pipeline(Protocol):
    """A loaded bundle."""

    @property
    def identity(self) -> ModelIdentity: ...

    @property
    def input_spec(self) -> InputSpec: ...

    def predict(
        self,
        record: ECGRecord,
        subject: Subject,
        *,
        source_digest: str,
        findings: tuple[Finding, ...] = (),
        watch: Watch = unwatched,
    ) -> Prediction:
        """Answer for one ECG: all twelve leads, accepted by the quality gate.

        Pure: the same record, subject and source digest give the same bytes, alone or among
        others. Noise, where a bundle draws any, is Philox seeded from `source_digest`. `findings`
        are carried into the prediction as they are, before the pipeline's own.
        Raises PredictionError (NaN or infinity from a graph), DeviceError, what `watch` raises.
        """
        ...
