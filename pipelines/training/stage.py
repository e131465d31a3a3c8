"""A stage of training: a network, its batches and its loss. The engine does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from node.domain.identifiers import sha256
from pipelines.cardionets.ecg_encoder import EcgEncoderSize

Batch = dict[str, Tensor]


class StageSettings(BaseModel):
    """How long and how fast a stage trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: PositiveInt
    batch: PositiveInt
    learning_rate: PositiveFloat
    """At its highest: it rises for `warm_up` steps and falls as a cosine to a hundredth."""
    warm_up: PositiveInt = 200
    weight_decay: NonNegativeFloat = 0.05
    """Of matrices; biases, norms and embeddings are left alone."""
    clip: PositiveFloat = 1.0
    """Largest norm of a step's gradient."""
    average: NonNegativeFloat = 0.0
    """Decay of a running average of the weights, which is then what is kept; 0 is none."""
    checkpoint_every: PositiveInt = 200
    """Steps: a killed run goes on from the last whole number of these."""


class Stage(ABC):
    """One stage; batch `index` depends on the seed and the index alone, so that runs repeat."""

    name: ClassVar[str]

    def __init__(self, settings: StageSettings, seed: int) -> None:
        self.settings = settings
        self.seed = seed

    @property
    @abstractmethod
    def network(self) -> nn.Module:
        """What is trained; parameters that do not require gradients stay as they are."""

    @abstractmethod
    def batch(self, index: int) -> Batch:
        """The tensors of one step, chance included."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """A scalar to lower."""

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Itself: whoever averages the network's weights must not copy a cohort."""
        return self

    def kept(self) -> dict[str, Tensor]:
        """Weights that later stages and the bundle need."""
        return {name: value.detach() for name, value in self.network.state_dict().items()}

    def chance(self, index: int) -> np.random.Generator:
        """The source of chance of one batch: same stage, seed and index, same numbers."""
        key = int(sha256(f"{self.name}:{self.seed}".encode())[:16], 16)
        return np.random.Generator(np.random.Philox(key=np.array([key, index], dtype=np.uint64)))


def normal(chance: np.random.Generator, *shape: int) -> Tensor:
    """float32 standard normal numbers."""
    return torch.from_numpy(chance.standard_normal(shape, dtype=np.float32))


def seeded(chance: np.random.Generator) -> torch.Generator:
    """A torch source of chance that starts where `chance` is."""
    return torch.Generator().manual_seed(int(chance.integers(2**63 - 1)))


def ecg_windows(
    ecg: NDArray[np.float16],
    rows: NDArray[np.int64],
    size: EcgEncoderSize,
    chance: np.random.Generator,
) -> Tensor:
    """(B, 12, seq_len) mV: of each row's ECG a window whose rhythm starts anywhere."""
    starts = chance.integers(0, ecg.shape[2] - size.seq_len + 1, len(rows))
    windows = [
        ecg_window(ecg[row], size, start) for row, start in zip(rows, starts.tolist(), strict=True)
    ]
    return torch.from_numpy(np.stack(windows).astype(np.float32))


def ecg_window(
    ecg: NDArray[np.floating[Any]], size: EcgEncoderSize, start: int
) -> NDArray[np.floating[Any]]:
    """(…, seq_len) of (…, T): the beat, if there is one, and the rhythm from `start`."""
    return np.concatenate([ecg[..., part] for part in size.window(start)], axis=-1)


def cines(cine: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
    """(B, frames, rows, columns) of the stored cines, 0 … 255 to -1 … 1."""
    return torch.from_numpy(cine[rows].astype(np.float32)) / 127.5 - 1.0
