"""Trains the fusion of ECG and drawn cine, and its control, into a training's comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.evaluation.from_scratch import FOLDER
from pipelines.training.bundle import served_pipeline
from pipelines.training.engine import WEIGHTS
from pipelines.training.fusion import (
    TOKENS,
    Fusion,
    FusionSettings,
    draw_tokens,
    keep_tokens,
    kept_tokens,
)
from pipelines.training.run import Training

CONTROL: Final = {"ecg_and_cine": False, "ecg_alone": True}
"""Network -> whether it sees every cine alike."""


def train_fusion(training: Training, settings: FusionSettings, *, progress: bool) -> None:
    """Both networks, unless they are there. Raises UnusableData (a stage is not finished)."""
    folder = training.folder / FOLDER
    if not (folder / TOKENS).exists():
        folder.mkdir(exist_ok=True)
        _draw(training, settings, folder / TOKENS)
    for name in CONTROL:
        training.train_apart(_stage(training, settings, name), folder / name, progress=progress)


def fused_logits(training: Training, settings: FusionSettings) -> dict[str, Tensor] | None:
    """Network -> logits (n, D) of the first test subjects; None before `train_fusion` has run."""
    folder = training.folder / FOLDER
    if not all((folder / name / WEIGHTS).exists() for name in CONTROL):
        return None
    found = {}
    for name in CONTROL:
        stage = _stage(training, settings, name)
        stage.fusion.load_state_dict(load_file(folder / name / WEIGHTS))
        with torch.inference_mode():
            found[name] = stage.logits(kept_tokens(folder / TOKENS)[1])
    return found


def _stage(training: Training, settings: FusionSettings, name: str) -> Fusion:
    tokens, _ = kept_tokens(training.folder / FOLDER / TOKENS)
    part = training.data.statement.train_part
    labels = np.array(training.data.diseases[part.start : part.start + len(tokens.ecg)])
    return Fusion(
        settings, training.configuration.seed, _encoders(training), tokens,
        torch.from_numpy(labels), alike=CONTROL[name],
    )  # fmt: skip


def _encoders(training: Training) -> tuple[EcgEncoder, CmrEncoder]:
    """Of the finished ECG network, and as pretrained on true cines."""
    return training.ecg_network().encoder, training.cmr_encoder()


def _draw(training: Training, settings: FusionSettings, file: Path) -> None:
    statement = training.data.statement
    train = np.arange(statement.train_part.start, statement.train_part.stop)
    test = np.arange(statement.test)
    pipeline, encoders = served_pipeline(training), _encoders(training)
    parts = (
        draw_tokens(pipeline, encoders, training.data, subjects)
        for subjects in (train[: settings.train_subjects], test[: settings.test_subjects])
    )
    keep_tokens(file, *parts)
