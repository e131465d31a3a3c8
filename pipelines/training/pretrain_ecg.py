"""Stage pretrain-ecg: the ECG encoder learns to fill in hidden patches of ECGs without labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize
from pipelines.cardionets.masked_pretraining import DecoderSize, MaskedPretraining, draw_visible
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings, ecg_windows, seeded


class PretrainEcgSettings(StageSettings):
    decoder: DecoderSize
    masked: float = Field(default=0.75, gt=0.0, lt=1.0)


class PretrainEcg(Stage):
    name: ClassVar[str] = "pretrain-ecg"

    def __init__(
        self, settings: PretrainEcgSettings, seed: int, size: EcgEncoderSize, data: TrainingSet
    ) -> None:
        super().__init__(settings, seed)
        torch.manual_seed(seed)
        self.masked = settings.masked
        self.size = size
        self.data = data
        self.pretraining = MaskedPretraining(EcgEncoder(size), settings.decoder)

    @property
    def network(self) -> nn.Module:
        return self.pretraining

    def batch(self, index: int) -> Batch:
        chance = self.chance(index)
        part = self.data.statement.train_part
        rows = chance.integers(part.start, part.stop, self.settings.batch)
        visible = draw_visible(
            len(rows), self.size.leads * self.size.patches, self.masked, seeded(chance)
        )
        ecg = ecg_windows(self.data.ecg, rows, self.size, chance)
        return {"ecg": ecg[:, self.size.seen_leads], "visible": visible}

    def loss(self, batch: Batch) -> Tensor:
        return self.pretraining.loss(batch["ecg"], batch["visible"])

    def kept(self) -> dict[str, Tensor]:
        return self.pretraining.encoder.state_dict()
