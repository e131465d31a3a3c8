"""A compact 12-lead ECG encoder: strided residual convolutions over time, attention pooling."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEADS = 12


class EcgEncoder(nn.Module):
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
