"""Stage diseases: a head on the finished ECG network, which stays as it is."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.training.phenotypes import hide
from pipelines.training.stage import Batch, Stage, StageSettings, ecg_windows


class DiseasesSettings(StageSettings):
    hide_subject: float = Field(default=0.3, ge=0.0, le=1.0)
    """As in stage phenotypes."""


class Diseases(Stage):
    name: ClassVar[str] = "diseases"

    def __init__(
        self, settings: DiseasesSettings, seed: int, network: EcgToPhenotypes, data: TrainingSet
    ) -> None:
        super().__init__(settings, seed)
        network.requires_grad_(False)
        network.diseases.requires_grad_(True)
        self.hide_subject = settings.hide_subject
        self.ecg_network = network
        self.data = data
        self.labels = torch.from_numpy(np.array(data.diseases))

    @property
    def network(self) -> nn.Module:
        return self.ecg_network

    def batch(self, index: int) -> Batch:
        chance = self.chance(index)
        part = self.data.statement.train_part
        rows = chance.integers(part.start, part.stop, self.settings.batch)
        return {
            "ecg": ecg_windows(self.data.ecg, rows, self.ecg_network.encoder.size, chance),
            "subject": hide(self.data.subject[rows], self.hide_subject, chance),
            "labels": self.labels[rows],
        }

    def loss(self, batch: Batch) -> Tensor:
        logits = self.ecg_network(batch["ecg"], batch["subject"]).logits.float()  # (B, D)
        return screening_loss(logits, batch["labels"])


def screening_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits (B, D) over the labels (B, D) that are known."""
    known = labels != UNKNOWN
    each = functional.binary_cross_entropy_with_logits(
        logits, labels.clamp(min=0).float(), reduction="none"
    )
    return (each * known).sum() / known.sum().clamp(min=1)
