"""Stage pretrain-cmr: the CMR encoder learns to fill in hidden patches of cines without labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from pipelines.cardionets.cmr_encoder import CmrEncoder, CmrEncoderSize
from pipelines.cardionets.masked_pretraining import DecoderSize, MaskedPretraining, draw_visible
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings, cines, seeded


class PretrainCmrSettings(StageSettings):
    decoder: DecoderSize
    masked: float = Field(default=0.75, gt=0.0, lt=1.0)


class PretrainCmr(Stage):
    name: ClassVar[str] = "pretrain-cmr"

    def __init__(
        self, settings: PretrainCmrSettings, seed: int, size: CmrEncoderSize, data: TrainingSet
    ) -> None:
        super().__init__(settings, seed)
        torch.manual_seed(seed)
        self.masked = settings.masked
        self.patches = (size.side // size.patch) ** 2
        self.data = data
        self.rows = data.cines_of(data.statement.train_part)
        self.pretraining = MaskedPretraining(CmrEncoder(size), settings.decoder)

    @property
    def network(self) -> nn.Module:
        return self.pretraining

    def batch(self, index: int) -> Batch:
        chance = self.chance(index)
        rows = chance.choice(self.rows, self.settings.batch)
        visible = draw_visible(len(rows), self.patches, self.masked, seeded(chance))
        return {"cine": cines(self.data.cine, rows), "visible": visible}

    def loss(self, batch: Batch) -> Tensor:
        return self.pretraining.loss(batch["cine"], batch["visible"])

    def kept(self) -> dict[str, Tensor]:
        return self.pretraining.encoder.state_dict()
