"""What stands on an encoder's feature: phenotypes, a disease, or the shared space of alignment.

A head is handed to its encoder (`EcgEncoder(size, phenotype_head(size.width))`), where the
published files keep it.
"""

from __future__ import annotations

from torch import nn

PHENOTYPES = 82
"""UK Biobank fields 24100 to 24181."""
EMBEDDING = 256
"""Of the space in which ECG and CMR meet; also what conditions the generator, un-normalised."""


def phenotype_head(width: int, phenotypes: int = PHENOTYPES) -> nn.Sequential:
    """(B, W) to (B, phenotypes), standardised: the scaler is not part of the network."""
    return nn.Sequential(
        nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 128), nn.GELU(), nn.Linear(128, phenotypes)
    )


def disease_head(width: int, diseases: int = 1) -> nn.Linear:
    """(B, W) to one logit a disease. Over several crops the mean is of logits, then the sigmoid."""
    return nn.Linear(width, diseases)


def projection_head(width: int, dimensions: int = EMBEDDING) -> nn.Linear:
    """(B, W) to the shared space (B, dimensions), not normalised: the alignment's loss does it."""
    return nn.Linear(width, dimensions)
