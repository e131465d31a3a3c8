"""What is served of an ECG: phenotypes with spread, diseases, and the generator's condition.

Beyond the paper: the subject's age, sex and body size are inputs, each of which may be unknown,
and every phenotype has a spread.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize

SUBJECT: Final = 8
"""Values of `pipelines.preprocessing.subject_vector`."""
TRUNK: Final = 128
CONDITION: Final = TRUNK + SUBJECT
"""Width of what the generator is told."""
LOG_VARIANCE: Final = (-5.0, 2.0)
"""Kept within: spreads of 0.08 to 2.7 standard deviations."""


class Outputs(NamedTuple):
    """mean (B, T) and log_variance (B, T) of the standardised targets, the phenotypes in their
    order and then the heart rate; logits (B, D) of the diseases; condition (B, CONDITION)."""

    mean: Tensor
    log_variance: Tensor
    logits: Tensor
    condition: Tensor


class EcgToPhenotypes(nn.Module):
    """(B, 12, T) mV, at least the encoder's length, and the subject (B, 8).

    A longer ECG is seen through windows that cover it, each behind its beat if the ECG has one; the
    mean of their features is taken.
    """

    def __init__(self, size: EcgEncoderSize, targets: int, diseases: int) -> None:
        super().__init__()
        self.encoder = EcgEncoder(size)
        self.trunk = nn.Sequential(
            nn.Linear(size.width + SUBJECT, 256), nn.GELU(), nn.Linear(256, TRUNK), nn.GELU()
        )
        self.mean = nn.Linear(CONDITION, targets)
        self.log_variance = nn.Linear(CONDITION, targets)
        self.diseases = nn.Linear(CONDITION, diseases)

    def forward(self, ecg: Tensor, subject: Tensor) -> Outputs:
        feature = self._feature(ecg)  # (B, W)
        trunk = self.trunk(torch.cat([feature, subject], dim=1))  # (B, TRUNK)
        condition = torch.cat([trunk, subject], dim=1)  # (B, CONDITION)
        return Outputs(
            self.mean(condition),
            self.log_variance(condition).clamp(*LOG_VARIANCE),
            self.diseases(condition),
            condition,
        )

    def _feature(self, ecg: Tensor) -> Tensor:
        size = self.encoder.size
        spare = ecg.shape[2] - size.seq_len
        count = 1 + (math.ceil(spare / (size.seq_len - size.beat_samples)) if spare else 0)
        starts = [spare * window // max(1, count - 1) for window in range(count)]
        seen = ecg[:, size.seen_leads]  # (B, L, T)
        parts = [[seen[:, :, part] for part in size.window(start)] for start in starts]
        windows = torch.cat([torch.cat(each, dim=2) for each in parts])
        return self.encoder(windows).unflatten(0, (count, len(ecg))).mean(dim=0)  # (B, W)


class ServedEcg(nn.Module):
    """The network as a bundle serves it, in natural units and with calibrated logits.

    (1, 12, T) and (1, 8) to phenotypes (1, P), spread (1, P), diseases (1, D) and condition (1, C),
    without those of which nothing is served.
    """

    location: Tensor
    scale: Tensor
    platt: Tensor
    phenotypes: Tensor
    diseases: Tensor

    def __init__(
        self,
        network: EcgToPhenotypes,
        *,
        location: Tensor,
        scale: Tensor,
        platt: Tensor,
        phenotypes: Tensor,
        diseases: Tensor,
    ) -> None:
        """location, scale: (T,) of the targets; platt: (2, all diseases), slope and intercept of a
        logit; phenotypes (P,) and diseases (D,): places of those that are served.
        """
        super().__init__()
        self.network = network
        self.register_buffer("location", location)
        self.register_buffer("scale", scale)
        self.register_buffer("platt", platt)
        self.register_buffer("phenotypes", phenotypes)
        self.register_buffer("diseases", diseases)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` gives."""
        numbers = ("phenotypes", "spread") if len(self.phenotypes) else ()
        return (*numbers, *(("diseases",) if len(self.diseases) else ()), "condition")

    def forward(self, ecg: Tensor, subject: Tensor) -> tuple[Tensor, ...]:
        out = self.network(ecg, subject)
        natural = out.mean * self.scale + self.location  # (1, T)
        spread = (0.5 * out.log_variance).exp() * self.scale  # (1, T)
        logits = out.logits * self.platt[0] + self.platt[1]  # (1, all diseases)
        given = {
            "phenotypes": natural[:, self.phenotypes],
            "spread": spread[:, self.phenotypes],
            "diseases": logits[:, self.diseases],
            "condition": out.condition,
        }
        return tuple(given[name] for name in self.outputs)
