"""Runs a stage with Lightning: loop, precision, checkpoint and resume, log, many devices and hosts.

An epoch is the span between two checkpoints. Batches are numbered by the steps done, so a run that
was killed goes on at the last checkpoint and ends in the same weights.
"""

from __future__ import annotations

import logging
import math
import signal
import warnings
from pathlib import Path
from typing import Any, Final, Literal

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from pydantic import BaseModel, ConfigDict, PositiveInt
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from pipelines.training.stage import Batch, Stage, StageSettings

WEIGHTS: Final = "weights.safetensors"
CHECKPOINT: Final = "last"
LOG: Final = "log"
STOPPED: Final = 128 + signal.SIGTERM
"""Exit status, as a shell tells it."""
OF_NO_CONCERN: Final = (
    ".*exists and is not empty",  # of course, in a run that goes on
    ".*does not have many workers",  # batches come from arrays in memory
    ".*treespec, LeafSpec",  # Lightning 2.6 with torch 2.13
    ".*number of training batches",
)
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
FLOOR: Final = 0.01
"""Of the learning rate, at the end."""


class Hardware(BaseModel):
    """What the engine may use; the defaults are one CPU process."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    devices: PositiveInt = 1
    nodes: PositiveInt = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"


def train_stage(stage: Stage, folder: Path, hardware: Hardware, *, progress: bool) -> None:
    """Train to the end, from the last checkpoint in `folder` if there is one.

    In the end the folder holds the kept weights; a stage that has them is not trained again.
    Raises SystemExit where the process is told to end (SIGTERM), at the end of a step.
    """
    if (folder / WEIGHTS).exists():
        return
    checkpoint = folder / f"{CHECKPOINT}.ckpt"
    training = _Training(stage)
    if _has_all_steps(checkpoint, training):
        _keep(stage, folder)
        return
    trainer = lightning.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        precision=hardware.precision,
        max_steps=stage.settings.steps,
        reload_dataloaders_every_n_epochs=1,
        gradient_clip_val=stage.settings.clip,
        callbacks=_callbacks(stage.settings, folder, progress=progress),
        logger=CSVLogger(folder, name=None, version=LOG),
        log_every_n_steps=min(25, stage.settings.checkpoint_every),
        enable_progress_bar=progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        for message in OF_NO_CONCERN:
            warnings.filterwarnings("ignore", message=message)
        try:
            trainer.fit(training, ckpt_path=checkpoint if checkpoint.exists() else None)
        except SIGTERMException as end:  # Lightning's has the status of success
            raise SystemExit(STOPPED) from end
    _keep(stage, folder)


def _has_all_steps(checkpoint: Path, training: _Training) -> bool:
    """Whether a run was killed right behind its last step; its weights are then loaded.

    A checkpoint's `state_dict` is the running average where there is one.
    """
    if not checkpoint.exists():
        return False
    found = torch.load(checkpoint, map_location="cpu", weights_only=True)
    if found["global_step"] < training.stage.settings.steps:
        return False
    training.load_state_dict(found["state_dict"])
    return True


@rank_zero_only
def _keep(stage: Stage, folder: Path) -> None:
    kept = {name: value.cpu().contiguous() for name, value in stage.kept().items()}
    half = folder / f"{WEIGHTS}.part"
    save_file(kept, half)
    half.replace(folder / WEIGHTS)  # weights that are there are whole, also after a kill


class _Training(lightning.LightningModule):
    """A stage in Lightning's words."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.network = stage.network

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.stage.loss(batch)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        settings = self.stage.settings
        optimiser = torch.optim.AdamW(
            _groups(self.network, settings.weight_decay),
            lr=settings.learning_rate,
            betas=(0.9, 0.98),
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: learning_rate_share(step, settings)
        )
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def train_dataloader(self) -> DataLoader[Batch]:
        settings, world = self.stage.settings, self.trainer.world_size
        done = self.trainer.global_step
        count = min(settings.checkpoint_every, settings.steps - done)
        return DataLoader(_Batches(self.stage, done * world, count * world), batch_size=None)


class _Batches(Dataset[Batch]):
    """Batches `first` to `first + count`; several processes take turns."""

    def __init__(self, stage: Stage, first: int, count: int) -> None:
        self.stage = stage
        self.first = first
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        return self.stage.batch(self.first + index)


def learning_rate_share(step: int, settings: StageSettings) -> float:
    """Share of the highest learning rate at a step: a straight rise, then half a cosine."""
    rise = min(1.0, (step + 1) / settings.warm_up)
    fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / settings.steps)))
    return rise * (FLOOR + (1.0 - FLOOR) * fall)


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors (biases, norms, tokens) do not."""
    trained = [each for each in network.parameters() if each.requires_grad]
    return [
        {"params": [each for each in trained if each.squeeze().ndim > 1], "weight_decay": decay},
        {"params": [each for each in trained if each.squeeze().ndim <= 1], "weight_decay": 0.0},
    ]


def _callbacks(settings: StageSettings, folder: Path, *, progress: bool) -> list[Callback]:
    callbacks: list[Callback] = [
        ModelCheckpoint(
            dirpath=folder,
            filename=CHECKPOINT,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
    ]
    if settings.average:
        callbacks.append(EMAWeightAveraging(decay=settings.average))
    if progress:
        callbacks.append(RichProgressBar())
    return callbacks
