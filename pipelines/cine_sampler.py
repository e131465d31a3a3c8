"""What every sampler of cines offers, whole layouts or tokens alike, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from pipelines.runtime import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCines:
    """samples: (K, frames, rows, columns) in [0, 1]."""

    samples: Array = field(repr=False)

    @property
    def independent(self) -> Array:
        """Those of which none mirrors another (K / 2, …): every second one."""
        return self.samples[::2]

    @property
    def mean(self) -> Array:
        """(frames, rows, columns)."""
        mean: Array = self.samples.mean(axis=0)
        return mean

    @property
    def spread(self) -> Array:
        """(frames, rows, columns): each pixel's standard deviation among the samples."""
        spread: Array = self.samples.std(axis=0)
        return spread


class CineSampler(Protocol):
    """What draws a bundle's cines."""

    def frames(self, condition: Array, *identity: str) -> Array:
        """(frames, rows, columns) in [0, 1] for a condition (1, W); `identity` seeds all chance.

        Raises PredictionError (a graph failed or gave NaN or infinity).
        """

    def samples(self, condition: Array, *identity: str) -> DrawnCines:
        """All samples that the bundle's `frames` would be made of, whichever it shows."""

    def golden_latent(self, condition: Array) -> Array:
        """(1, c, t, h, w) of a short drawing: what the golden archive gives the decoder."""
