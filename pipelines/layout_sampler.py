"""Draws cines for one ECG whole: graph layout gives the latent, graph decoder the frames.

One vector of noise lays the whole cine out, so every sample is one heart. The graph draws no
number itself: its noise is made here, from the digests of source and bundle alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from node.domain.identifiers import digest_of
from pipelines.cine_sampler import DrawnCines, decode
from pipelines.contract import Watch, unwatched
from pipelines.runtime import Array, Session
from pipelines.sampler_spec import LayoutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSampler:
    """A bundle's layout sampler; may be asked from several threads at once."""

    spec: LayoutSpec
    layout: Session = field(repr=False)
    decoder: Session = field(repr=False)

    def shown(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """As `CineSampler`."""
        if self.spec.shown == "expected":
            noise = np.zeros((1, self.spec.components), np.float32)
        else:
            count = 1 if self.spec.shown == "sample" else self.spec.samples
            noise = self._noise(*identity)[:count]
        return DrawnCines(samples=self.cines(condition, noise, watch))

    def samples(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """As `CineSampler`."""
        noise = self._noise(*identity)
        return DrawnCines(samples=self.cines(condition, noise, watch))

    def cines(self, condition: Array, noise: Array, watch: Watch = unwatched) -> Array:
        """(K, frames, rows, columns) in [0, 1] for noise (K, components)."""
        watch(0.0)
        return decode(self.decoder, self.latents(condition, noise), watch)

    def latents(self, condition: Array, noise: Array) -> Array:
        """(K, c, t, h, w). Raises PredictionError (a graph failed or gave NaN or infinity)."""
        told = np.repeat(condition, len(noise), axis=0)
        latents: Array = self.layout.run({"condition": told, "noise": noise})["latent"]
        return latents

    def _noise(self, *identity: str) -> Array:
        return np.float32(self.spec.temperature) * seeded_noise(self.spec, *identity)

    def with_preset(self, name: str) -> LayoutSampler:
        """As `CineSampler`."""
        return replace(self, spec=self.spec.with_preset(name))

    def golden_latent(self, condition: Array) -> Array:
        """(1, c, t, h, w) that the golden archive gives the decoder."""
        return self.latents(condition, seeded_noise(self.spec, "golden")[:1])


def seeded_noise(spec: LayoutSpec, *identity: str) -> Array:
    """(samples, components) standard normal, from the texts of `identity` alone.

    Every second sample mirrors the one before it, so that the mean of few samples is already near
    that of many; each is as likely as any other. Sample k is the same however many there are.
    """
    key = int(digest_of("layout", *identity)[:32], 16)
    chance = np.random.Generator(np.random.Philox(key=key))
    pairs = (spec.samples + 1) // 2
    independent = chance.standard_normal((pairs, spec.components), np.float32)
    both = np.stack([independent, -independent], axis=1)  # (pairs, 2, components)
    return both.reshape(-1, spec.components)[: spec.samples]
