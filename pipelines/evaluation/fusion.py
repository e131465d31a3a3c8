"""Whether a drawn cine adds to its ECG: disease screens from both, and from the ECG alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.phenotypes import DISEASES
from pipelines.datasets.training_set import UNKNOWN
from pipelines.evaluation.bootstrap import Measured, measure, resamples
from pipelines.evaluation.fused import fused_logits
from pipelines.evaluation.screening import resampled_auroc
from pipelines.training.run import Training

Array = NDArray[np.float64]
SEED: Final = 1
"""Of the resamples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionFigures:
    """AUROC of one disease; the control is the same network, to which every cine is alike."""

    field_id: str
    name: str
    subjects: int
    positives: int
    ecg_and_cine: Measured
    ecg_alone: Measured
    gain: Measured
    """In pairs."""


def evaluate_fusion(training: Training) -> tuple[FusionFigures, ...]:
    """Nothing before cardionets compare has trained it."""
    settings = training.configuration.comparison.fusion
    logits = fused_logits(training, settings) if settings else None
    if logits is None:
        return ()
    scores = {name: each.double().numpy() for name, each in logits.items()}
    statement, names = training.data.statement, dict(DISEASES)
    labels = training.data.diseases[: len(scores["ecg_alone"])]
    found = []
    for place, field_id in enumerate(statement.diseases):
        known = labels[:, place] != UNKNOWN
        if not known.any():
            continue
        label = labels[known, place] == 1
        weights = resamples(len(label), seed=SEED)
        auroc = {
            name: resampled_auroc(weights, score[known, place], label)
            for name, score in scores.items()
        }
        found.append(
            FusionFigures(
                field_id=field_id,
                name=names.get(field_id, field_id),
                subjects=len(label),
                positives=int(label.sum()),
                ecg_and_cine=measure(auroc["ecg_and_cine"]),
                ecg_alone=measure(auroc["ecg_alone"]),
                gain=measure(auroc["ecg_and_cine"] - auroc["ecg_alone"]),
            )
        )
    return tuple(found)
