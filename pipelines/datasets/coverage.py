"""What is known of the subjects of a training set, in shares."""

from __future__ import annotations

from typing import Final

import numpy as np

from pipelines.datasets.training_set import UNKNOWN, TrainingSet

GROUPS: Final = {
    "left ventricle": range(24100, 24106),
    "right ventricle": range(24106, 24110),
    "left atrium": range(24110, 24114),
    "right atrium": range(24114, 24118),
    "aorta": range(24118, 24124),
    "wall thickness": range(24124, 24141),
    "circumferential strain": range(24141, 24158),
    "radial strain": range(24158, 24175),
    "longitudinal strain": range(24175, 24182),
}
"""Of phenotypes, by field id: what one analysis of one series gives together."""


def known_phenotypes(data: TrainingSet) -> dict[str, float]:
    """Group -> share of the ECGs with at least one of its phenotypes."""
    known = ~np.isnan(data.phenotypes)
    ids = [int(field_id) for field_id in data.statement.field_ids]
    return {
        name: float(known[:, np.isin(ids, members)].any(axis=1).mean())
        for name, members in GROUPS.items()
    }


def known_diseases(data: TrainingSet) -> dict[str, float]:
    """Disease -> share of the ECGs with a label of it."""
    shares = (data.diseases != UNKNOWN).mean(axis=0)
    return dict(zip(data.statement.diseases, shares.tolist(), strict=True))
