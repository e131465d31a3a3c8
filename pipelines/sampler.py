"""Draws cines for one ECG: a loop on the host over the graphs trunk, head and decoder.

The trunk says of each place a vector z, the head draws the place's token from it, the decoder
makes a cine of the whole latent. No graph draws a number: order and noise are made here, from the
digests of source and bundle alone.
Sources: Li et al. 2024 (MAR); Ho & Salimans 2022 (classifier-free guidance).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from node.domain.identifiers import digest_of
from pipelines.cine_sampler import DrawnCines, decode
from pipelines.contract import Watch, unwatched
from pipelines.flow_path import TIME_SCALE, follow
from pipelines.noise_schedule import NoiseSchedule, ReverseStep
from pipelines.runtime import Array, Session
from pipelines.sampler_spec import SamplerSpec

Places = NDArray[np.int64]
DECODING_BEGINS: Final = 0.9
"""Share of a drawing that its tokens take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """All that is random of K samples.

    order: (K, L) places, the first drawn first. noise: (K, L, draws, token_values) standard
    normal, each place its own.
    """

    order: Places
    noise: Array = field(repr=False)

    @classmethod
    def seeded(cls, spec: SamplerSpec, *identity: str) -> Chance:
        """Follows from the texts of `identity` alone; sample k is the same however many there are.

        Source: Salmon et al. 2011 (Philox), keyed with 128 bits.
        """
        key = int(digest_of("sampler", *identity)[:32], 16)
        streams = [np.random.Generator(np.random.Philox(key=key).jumped(k + 1))
                   for k in range(spec.samples)]  # fmt: skip
        shape = (spec.tokens, spec.draws, spec.token_values)
        return cls(
            order=np.stack([stream.permutation(spec.tokens) for stream in streams]),
            noise=np.stack([stream.standard_normal(shape, np.float32) for stream in streams]),
        )


class _Look(NamedTuple):
    """z of M places of K samples, (K * M, W), with the condition and, for guidance, without it."""

    z: Array
    null: Array | None
    scale: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """A bundle's sampler; may be asked from several threads at once."""

    spec: SamplerSpec
    trunk: Session = field(repr=False)
    head: Session = field(repr=False)
    decoder: Session = field(repr=False)

    def shown(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """As `CineSampler`."""
        count = self.spec.samples if self.spec.shown == "mean" else 1
        shown = replace(self, spec=self.spec.model_copy(update={"samples": count}))
        return shown.samples(condition, *identity, watch=watch)

    def samples(self, condition: Array, *identity: str, watch: Watch = unwatched) -> DrawnCines:
        """As `CineSampler`."""
        return self.cines(condition, Chance.seeded(self.spec, *identity), watch)

    def with_preset(self, name: str) -> Sampler:
        """As `CineSampler`."""
        return replace(self, spec=self.spec.with_preset(name))

    def golden_latent(self, condition: Array) -> Array:
        """As `CineSampler`."""
        spec, chance = golden_draw(self.spec)
        return replace(self, spec=spec).latents(condition, chance)

    def cines(self, condition: Array, chance: Chance, watch: Watch = unwatched) -> DrawnCines:
        """Cines for a condition (1, W), or one for each of (K, W)."""
        latents = self.latents(condition, chance, watch)
        return DrawnCines(samples=decode(self.decoder, latents, watch, begun=DECODING_BEGINS))

    def latents(self, condition: Array, chance: Chance, watch: Watch = unwatched) -> Array:
        """(K, c, t, h, w). Raises PredictionError (a graph failed or gave NaN or infinity)."""
        spec, order = self.spec, chance.order
        scales = spec.scales()
        conditions = np.broadcast_to(condition, (len(order), condition.shape[1]))
        tokens = np.zeros((len(order), 0, spec.token_values), np.float32)
        done = 0
        for step, count in enumerate(spec.schedule.drawn):
            watch(DECODING_BEGINS * done / spec.tokens)
            places = order[:, done : done + count]  # (K, M)
            masked = places if spec.decoding == "next" else order[:, done:]
            z, null = self._look(tokens, order[:, :done], masked, conditions, count)
            noise = np.take_along_axis(chance.noise, places[:, :, None, None], axis=1)
            look = _Look(z, null, 1.0 if scales is None else scales[step])
            drawn = self._draw(look, noise.reshape(-1, *noise.shape[2:]))  # (K*M, C)
            tokens = np.concatenate([tokens, drawn.reshape(*places.shape, -1)], axis=1)
            done += count
        raster = order.argsort(axis=1)
        return unpatchify(np.take_along_axis(tokens, raster[:, :, None], axis=1), spec)

    def _look(
        self, tokens: Array, known: Places, masked: Places, conditions: Array, count: int
    ) -> tuple[Array, Array | None]:
        """z of the first `count` masked places, in one run for all samples."""
        guided = self.spec.scales() is not None
        ways = [False, True] if guided else [False]
        z = self.trunk.run(
            {
                "tokens": np.concatenate([tokens] * len(ways)),
                "known": np.concatenate([known] * len(ways)),
                "masked": np.concatenate([masked] * len(ways)),
                "condition": np.concatenate([conditions] * len(ways)),
                "dropped": np.repeat(ways, len(tokens)),
            }
        )["z"][:, :count]  # (ways * K, M, W)
        first, *rest = np.split(z.reshape(-1, z.shape[2]), len(ways))
        return first, rest[0] if rest else None

    def _draw(self, look: _Look, noise: Array) -> Array:
        """Tokens (n, C) of noise (n, draws, C)."""
        head = self.spec.head
        if head.solver is not None:
            return np.asarray(
                follow(
                    lambda x, t: self._estimate(x, TIME_SCALE * t, look),
                    noise[:, 0],
                    steps=head.steps,
                    solver=head.solver,
                )
            )
        x: Array = noise[:, 0]
        for done, (t, step) in enumerate(_steps_back(head.steps), start=1):
            found, variance = np.split(self._estimate(x, t, look), 2, axis=1)
            x = step.mean(step.start(x, found), x)
            if done < head.steps:  # the last adds no noise
                spread = np.exp(0.5 * step.log_variance(variance))
                x = x + spread * noise[:, done] * np.float32(self.spec.temperature)
        return x

    def _estimate(self, x: Array, t: float, look: _Look) -> Array:
        """What the head says at time t; with guidance its first values go from null beyond z."""
        if look.null is None:
            return self._head(x, t, look.z)
        both = self._head(np.concatenate([x, x]), t, np.concatenate([look.z, look.null]))
        found, null = np.split(both, 2)
        token = self.spec.token_values
        guided = null[:, :token] + look.scale * (found[:, :token] - null[:, :token])
        return np.concatenate([guided, found[:, token:]], axis=1)

    def _head(self, x: Array, t: float, z: Array) -> Array:
        times = np.full(len(x), t, np.float32)
        return self.head.run({"x": x, "t": times, "z": z})["estimate"]


def golden_draw(spec: SamplerSpec) -> tuple[SamplerSpec, Chance]:
    """A short drawing, to prove a sampler with."""
    short = spec.model_copy(
        update={"ar_steps": min(2, spec.ar_steps), "samples": 1, "shown": "sample"}
    )
    return short, Chance.seeded(short, "golden")


@cache
def _steps_back(steps: int) -> tuple[tuple[float, ReverseStep], ...]:
    """Time and numbers of each step, the noisiest first."""
    schedule = NoiseSchedule.respaced(steps)

    def at(index: int) -> ReverseStep:
        return schedule.step(lambda table: np.float32(table[index]))

    times = schedule.timestep_map.tolist()
    return tuple((float(times[index]), at(index)) for index in reversed(range(steps)))


def unpatchify(tokens: Array, spec: SamplerSpec) -> Array:
    """(K, L, C) tokens in raster order over frames, rows, columns to latents (K, c, t, h, w)."""
    parts = tokens.reshape(-1, *spec.grid, spec.latent[0], *spec.patch)
    split = parts.transpose(0, 4, 1, 5, 2, 6, 3, 7)  # (K, c, t/p, p, h/q, q, w/r, r)
    return split.reshape(-1, *spec.latent)
