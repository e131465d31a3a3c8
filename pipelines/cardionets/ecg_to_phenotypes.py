"""The compact network: a 12-lead ECG and the subject to phenotypes, diseases and cine anatomy.

Strided residual convolutions over time, attention pooling, heads that see the subject too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

LEADS = 12
SUBJECT = 8


class Outputs(NamedTuple):
    """All in standardised units: mean (n, T), log_variance (n, T), logits (n, D)."""

    mean: Tensor
    log_variance: Tensor
    logits: Tensor


class _Encoder(nn.Module):
    """(n, 12, 2500) mV to (n, features)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        c = channels
        self.features = 2 * 4 * c
        self.stem = nn.Sequential(
            nn.Conv1d(LEADS, c, 15, stride=4, padding=7), nn.BatchNorm1d(c), nn.GELU()
        )
        self.blocks = nn.Sequential(
            _Block(c, c), _Block(c, 2 * c), _Block(2 * c, 3 * c), _Block(3 * c, 4 * c)
        )
        self.attention = nn.Conv1d(4 * c, 4, 1)

    def forward(self, ecg: Tensor) -> Tensor:
        x = self.blocks(self.stem(ecg))  # (n, 4c, 40)
        weights = torch.softmax(self.attention(x), dim=2)  # (n, 4, 40)
        heads = x.view(x.shape[0], 4, -1, x.shape[2])  # (n, 4, c, 40)
        pooled = (heads * weights[:, :, None]).sum(dim=3).flatten(1)  # (n, 4c)
        return torch.cat([pooled, x.mean(dim=2)], dim=1)  # (n, 8c)


class _Block(nn.Module):
    """Residual, halves the time axis."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(inputs, outputs, 9, stride=2, padding=4), nn.BatchNorm1d(outputs), nn.GELU(),
            nn.Conv1d(outputs, outputs, 5, padding=2), nn.BatchNorm1d(outputs),
        )  # fmt: skip
        self.skip = nn.Conv1d(inputs, outputs, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.gelu(self.body(x) + self.skip(x))


class EcgToPhenotypes(nn.Module):
    """Encoder and heads. Targets are the phenotypes in their order, then heart rate."""

    def __init__(self, channels: int, targets: int, diseases: int) -> None:
        super().__init__()
        self.targets = targets
        self.encoder = _Encoder(channels)
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
