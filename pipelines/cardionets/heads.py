"""From ECG features and the subject to phenotypes with spread, diseases, and the cine's anatomy."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.cardionets.ecg_encoder import EcgEncoder

SUBJECT = 8


class Outputs(NamedTuple):
    """All in standardised units: mean (n, T), log_variance (n, T), logits (n, D)."""

    mean: Tensor
    log_variance: Tensor
    logits: Tensor


class EcgToPhenotypes(nn.Module):
    """Encoder and heads. Targets are the phenotypes in their order, then heart rate."""

    def __init__(self, channels: int, targets: int, diseases: int) -> None:
        super().__init__()
        self.targets = targets
        self.encoder = EcgEncoder(channels)
        self.trunk = nn.Sequential(
            nn.Linear(self.encoder.features + SUBJECT, 256), nn.GELU(), nn.Dropout(0.1),
            nn.Linear(256, 256), nn.GELU(),
        )  # fmt: skip
        self.head = nn.Linear(256 + SUBJECT, 2 * targets + diseases)

    def forward(self, ecg: Tensor, subject: Tensor) -> Outputs:
        features = torch.cat([self.encoder(ecg), subject], dim=1)
        out = self.head(torch.cat([self.trunk(features), subject], dim=1))
        mean, log_variance = out[:, : self.targets], out[:, self.targets : 2 * self.targets]
        return Outputs(mean, log_variance.clamp(-5.0, 2.0), out[:, 2 * self.targets :])


class Served(nn.Module):
    """The network as a bundle serves it: natural units, calibrated logits, the cine's latent."""

    mean: Tensor
    scale: Tensor
    slope: Tensor
    intercept: Tensor

    def __init__(
        self, network: EcgToPhenotypes, *, mean: Tensor, scale: Tensor, platt: Tensor
    ) -> None:
        """mean, scale: (T,) of the targets; platt: (2, D), slope and intercept of each logit."""
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.register_buffer("slope", platt[0])
        self.register_buffer("intercept", platt[1])

    def forward(self, ecg: Tensor, subject: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        out = self.network(ecg, subject)
        phenotypes = (out.mean * self.scale + self.mean)[:, :-1]  # without heart rate
        spread = ((0.5 * out.log_variance).exp() * self.scale)[:, :-1]
        return phenotypes, spread, out.logits * self.slope + self.intercept, out.mean
