"""Bringing ECG and CMR together: InfoNCE that hardly pushes apart hearts which are alike.

Published: Ding et al., NEJM AI 2026;3(4): σ 0.5 over 128 principal components of the CMR's class
token, τ 0.05, embeddings of 256. Their optional supervised-contrastive term was off and is absent.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SIGMA: Final = 0.5
TEMPERATURE: Final = 0.05


class AlignmentLoss(NamedTuple):
    """Mean over the batch of each direction's −log of the right partner's share."""

    ecg_to_cmr: Tensor
    cmr_to_ecg: Tensor

    @property
    def total(self) -> Tensor:
        return (self.ecg_to_cmr + self.cmr_to_ecg) / 2


def negative_weights(features: Tensor, sigma: float = SIGMA) -> Tensor:
    """How far each pair of a batch counts as different: (B, F) to (B, B) in [0, 1].

    1 − exp(−‖φᵢ − φₖ‖² / σ²), from differences rather than from squares and products, which leave a
    rest of 1e-7 (even below 0) between equals.
    """
    plain = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(features, features, compute_mode=plain)  # (B, B)
    return -torch.expm1(-distances.square() / sigma**2)


def weighted_infonce(
    ecg: Tensor, cmr: Tensor, weights: Tensor, temperature: float = TEMPERATURE
) -> AlignmentLoss:
    """The loss of embeddings (B, E), of any length, whose rows belong together.

    weights: (B, B) of `negative_weights`; a pair of weight 0 is no negative, and the diagonal, the
    pair that belongs together, always counts in full. In logarithms throughout, so that no
    exponential overflows and no constant need guard a division.
    """
    ecg, cmr = functional.normalize(ecg, dim=1), functional.normalize(cmr, dim=1)  # (B, E)
    similarity = ecg @ cmr.T / temperature  # (B, B)
    nothing = torch.finfo(weights.dtype).min  # log 0, but of finite gradient
    shift = weights.detach().log().clamp(min=nothing).fill_diagonal_(nothing)  # (B, B)
    return AlignmentLoss(_contrast(similarity, shift), _contrast(similarity.T, shift))


def _contrast(similarity: Tensor, shift: Tensor) -> Tensor:
    """Mean over the rows i of log(1 + Σₖ Wᵢₖ e^(sᵢₖ − sᵢᵢ)), k ≠ i; W is symmetric."""
    margins = similarity - similarity.diagonal()[:, None]  # (B, B)
    return functional.softplus(torch.logsumexp(margins + shift, dim=1)).mean()
