"""What every sampler of cines offers, whole layouts or tokens alike, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pipelines.contract import Watch, unwatched
from pipelines.runtime import Array, Session


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

    def shown(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """The samples whose mean the bundle shows, for a condition (1, W): one, or several.

        `identity` seeds all chance.
        Raises PredictionError (a graph failed or gave NaN or infinity), what `watch` raises.
        """

    def samples(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """All samples that the bundle has, whichever of them it shows."""

    def with_preset(self, name: str) -> CineSampler:
        """The same graphs, drawn from as the bundle's preset of this name says."""

    def golden_latent(self, condition: Array) -> Array:
        """(1, c, t, h, w) of a short drawing: what the golden archive gives the decoder."""


def decode(decoder: Session, latents: Array, watch: Watch, *, begun: float = 0.0) -> Array:
    """(K, frames, rows, columns) in [0, 1] of latents (K, c, t, h, w), one at a time.

    The decoder needs much memory. begun: share of the drawing that is done.
    """
    cines = []
    for index, latent in enumerate(latents):
        watch(begun + (1.0 - begun) * index / len(latents))
        cines.append(decoder.run({"latent": latent[np.newaxis]})["frames"])
    clipped: Array = np.clip(np.concatenate(cines), -1.0, 1.0)
    return (clipped + 1.0) / 2.0
