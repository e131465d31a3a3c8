"""Stage align: ECG and CMR of one subject meet in one space, the ECG encoder learns from the CMR.

The CMR encoder is frozen; what it says of every training cine, and the principal components that
weigh the negatives, are computed once.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from node.domain.errors import UnusableData
from pipelines.cardionets.alignment import (
    SIGMA,
    TEMPERATURE,
    negative_weights,
    weighted_infonce,
)
from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.heads import projection_head
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings, cines, ecg_windows


class AlignSettings(StageSettings):
    sigma: PositiveFloat = SIGMA
    """Distance at which two hearts count as different, in spreads of the first component."""
    temperature: PositiveFloat = TEMPERATURE
    components: PositiveInt = 128
    embedding: PositiveInt = 256


class Align(Stage):
    name: ClassVar[str] = "align"

    def __init__(
        self,
        settings: AlignSettings,
        seed: int,
        ecg: EcgEncoder,
        cmr: CmrEncoder,
        data: TrainingSet,
    ) -> None:
        """ecg and cmr come pretrained and without heads.

        Raises UnusableData (fewer training cines than a batch: each is compared with all others).
        """
        super().__init__(settings, seed)
        torch.manual_seed(seed)
        self.align_settings = settings
        self.data = data
        self.rows = data.cines_of(data.statement.train_part)
        check_batch(settings, data)
        self.features = cmr_features(cmr, data, self.rows)  # (m, W)
        self.likeness = principal_components(self.features, settings.components)  # (m, F)
        ecg.head = projection_head(ecg.size.width, settings.embedding)
        projection = projection_head(self.features.shape[1], settings.embedding)
        self.ecg = ecg
        self.networks = nn.ModuleDict({"ecg": ecg, "cmr_projection": projection})

    @property
    def network(self) -> nn.Module:
        return self.networks

    def batch(self, index: int) -> Batch:
        chance, size = self.chance(index), self.ecg.size
        picked = chance.choice(len(self.rows), self.settings.batch, replace=False)
        subjects = self.data.cine_subject[self.rows[picked]]
        return {
            "ecg": ecg_windows(self.data.ecg, subjects, size, chance)[:, size.seen_leads],
            "features": self.features[picked],
            "likeness": self.likeness[picked],
        }

    def loss(self, batch: Batch) -> Tensor:
        ecg = self.networks["ecg"](batch["ecg"])  # (B, E)
        cmr = self.networks["cmr_projection"](batch["features"])  # (B, E)
        settings = self.align_settings
        weights = negative_weights(batch["likeness"], settings.sigma)  # (B, B)
        return weighted_infonce(ecg.float(), cmr.float(), weights, settings.temperature).total


def check_batch(settings: StageSettings, data: TrainingSet) -> None:
    """Raise UnusableData where there are fewer training cines than a batch compares."""
    count = len(data.cines_of(data.statement.train_part))
    if count < settings.batch:
        raise UnusableData(
            f"stages.align.batch is {settings.batch}, but there are {count} training cines: make "
            "the batch smaller"
        )


def cmr_features(cmr: CmrEncoder, data: TrainingSet, rows: NDArray[np.int64]) -> Tensor:
    """(m, W) what the encoder says of these rows of `cine`."""
    cmr.eval()
    with torch.no_grad():
        parts = [cmr(cines(data.cine, some)) for some in np.array_split(rows, len(rows) // 32 + 1)]
    return torch.cat(parts)


def principal_components(features: Tensor, count: int) -> Tensor:
    """(m, W) to (m, count), in spreads of the first component."""
    centred = features - features.mean(dim=0)
    _, singular, directions = torch.linalg.svd(centred, full_matrices=False)
    kept = centred @ directions[:count].T  # (m, count)
    return kept / (singular[0] / len(features) ** 0.5)
