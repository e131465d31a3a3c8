"""Whether a drawn cine adds to its ECG: one head over both, and the same where every cine is alike.

Cines are those that the finished bundle shows for the ECG alone. Both encoders stay as they are, so
their tokens are computed once; the control's network sees the mean tokens of all cines.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.fusion import EcgCmrFusion, FusionSize
from pipelines.cardionets.transformer import initialise
from pipelines.datasets.training_set import SUBJECT_VALUES, TrainingSet
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.training.diseases import screening_loss
from pipelines.training.stage import Batch, Stage, StageSettings, ecg_window

TOKENS: Final = "tokens.safetensors"


class FusionSettings(StageSettings):
    depth: PositiveInt = 2
    heads: PositiveInt = 2
    mlp: PositiveInt = 256
    train_subjects: PositiveInt = 4000
    """At most; for each a cine is drawn."""
    test_subjects: PositiveInt = 2000


class Tokens(NamedTuple):
    """Of n subjects: ecg (n, p, W), the mean of the leads, and cmr (n, 1 + N, W)."""

    ecg: Tensor
    cmr: Tensor


class Fusion(Stage):
    """The head over both; `alike` replaces every cine's tokens by their mean."""

    name: ClassVar[str] = "fusion"

    def __init__(
        self, settings: FusionSettings, seed: int, encoders: tuple[EcgEncoder, CmrEncoder],
        tokens: Tokens, labels: Tensor, *, alike: bool,
    ) -> None:  # fmt: skip
        """labels: (n, D) int8, UNKNOWN where unknown."""
        super().__init__(settings, seed)
        torch.manual_seed(seed)
        ecg, cmr = encoders
        size = FusionSize(depth=settings.depth, heads=settings.heads, mlp=settings.mlp)
        head = nn.Linear(ecg.size.width, labels.shape[1])
        self.fusion = EcgCmrFusion(ecg, cmr, head, size)
        for part in (self.fusion.blocks, head):
            part.apply(initialise)
        self.fusion.train()
        ecg.requires_grad_(False)
        cmr.requires_grad_(False)
        self.labels = labels
        self.tokens = tokens
        self.alike = tokens.cmr.mean(dim=0) if alike else None

    @property
    def network(self) -> nn.Module:
        return self.fusion

    def batch(self, index: int) -> Batch:
        rows = torch.from_numpy(
            self.chance(index).integers(0, len(self.labels), self.settings.batch)
        )
        return {
            "ecg": self.tokens.ecg[rows],
            "cmr": self.tokens.cmr[rows],
            "labels": self.labels[rows],
        }

    def loss(self, batch: Batch) -> Tensor:
        return screening_loss(self.logits(Tokens(batch["ecg"], batch["cmr"])), batch["labels"])

    def logits(self, tokens: Tokens) -> Tensor:
        """(B, D)."""
        cmr = tokens.cmr if self.alike is None else self.alike.expand_as(tokens.cmr)
        joint = self.fusion.attended(tokens.ecg[:, None], cmr)  # (B, W)
        logits: Tensor = self.fusion.head(self.fusion.norm(joint)).float()
        return logits


def draw_tokens(
    pipeline: EcgToCmr,
    encoders: tuple[EcgEncoder, CmrEncoder],
    data: TrainingSet,
    subjects: NDArray[np.int64],
) -> Tokens:
    """What the encoders make of these subjects' ECGs and of the cines that are shown for them."""
    assert pipeline.sampler is not None  # a trained bundle draws
    ecg_encoder, cmr_encoder = encoders[0].eval(), encoders[1].eval()
    size, unknown = ecg_encoder.size, np.zeros((1, SUBJECT_VALUES), np.float32)
    start = (data.ecg.shape[2] - size.seq_len) // 2
    ecgs, cines = [], []
    with torch.inference_mode():
        for subject in subjects:
            ecg = data.ecg[subject][np.newaxis].astype(np.float32)  # (1, 12, T)
            seen = ecg_window(ecg[:, size.seen_leads], size, start)
            ecgs.append(ecg_encoder.latent(torch.from_numpy(seen)).mean(dim=1)[0])  # (p, W)
            condition = pipeline.ecg.run({"ecg": ecg, "subject": unknown})["condition"]
            frames = pipeline.sampler.shown(condition, Fusion.name, str(subject)).mean
            shown = torch.from_numpy(2.0 * frames[np.newaxis] - 1.0)
            cines.append(cmr_encoder.latent(shown)[0])  # (1+N, W)
    return Tokens(torch.stack(ecgs), torch.stack(cines))


def keep_tokens(file: Path, train: Tokens, test: Tokens) -> None:
    """Write both, whole or not at all."""
    half = file.with_suffix(".part")
    save_file(
        {
            "train.ecg": train.ecg,
            "train.cmr": train.cmr,
            "test.ecg": test.ecg,
            "test.cmr": test.cmr,
        },
        half,
    )
    half.replace(file)


def kept_tokens(file: Path) -> tuple[Tokens, Tokens]:
    """Of the training and of the test subjects."""
    found = load_file(file)
    train, test = (Tokens(found[f"{part}.ecg"], found[f"{part}.cmr"]) for part in ("train", "test"))
    return train, test
