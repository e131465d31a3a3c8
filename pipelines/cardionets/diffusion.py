"""The diffusion head, as published: a token drawn in many small steps back from noise.

The network says the noise in a token and where the step's variance lies between its bounds.
Sources: Ho et al. 2020; Nichol & Dhariwal 2021 (cosine schedule, learned variance, respacing).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Denoiser, Guidance, HeadSize
from pipelines.noise_schedule import NoiseSchedule, ReverseStep, Table

HALF_BIN = 1.0 / 255.0
"""Half the width of a value's bin in the likelihood: 256 of them from -1 to 1."""
CDF_CUBIC = 0.0447
"""Of tanh's approximation of the normal distribution; published so, where others write 0.044715."""
LEAST_PROBABILITY = 1e-12


def _at(table: Table, index: Tensor, like: Tensor) -> Tensor:
    """The table's values at index (n,), to multiply (n, token)."""
    return torch.from_numpy(table).to(like.device)[index].to(like.dtype)[:, None]


def _step(schedule: NoiseSchedule, index: Tensor, like: Tensor) -> ReverseStep:
    return schedule.step(lambda table: _at(table, index, like))


def diffuse(schedule: NoiseSchedule, tokens: Tensor, index: Tensor, noise: Tensor) -> Tensor:
    """x_t: the tokens (n, token) with the noise of step index (n,) in them."""
    level = schedule.alphas_cumprod
    signal = _at(np.sqrt(level), index, tokens)
    return signal * tokens + _at(np.sqrt(1.0 - level), index, tokens) * noise


class Reverse(NamedTuple):
    """The Gaussian of one step back, (n, token) each, and the token it expects at the end."""

    mean: Tensor
    log_variance: Tensor
    start: Tensor

    def sample(self, noise: Tensor, temperature: float = 1.0) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise * temperature


def reverse(schedule: NoiseSchedule, x: Tensor, index: Tensor, output: Tensor) -> Reverse:
    """One step back from x_t, by the network's output (n, 2 * token): noise, then variance."""
    noise, variance = output.chunk(2, dim=1)
    step = _step(schedule, index, x)
    start = step.start(x, noise)
    return Reverse(mean=step.mean(start, x), log_variance=step.log_variance(variance), start=start)


class Loss(NamedTuple):
    """(n,) of each token: error of the noise, and the bound on its likelihood in bits."""

    mse: Tensor
    bound: Tensor


class DiffusionHead(nn.Module):
    def __init__(self, size: HeadSize) -> None:
        super().__init__()
        self.net = Denoiser(size, outputs=2 * size.token)

    def terms(self, tokens: Tensor, z: Tensor, t: Tensor, noise: Tensor) -> Loss:
        """Both parts of the loss; t (n,) of 0 … 999, noise standard normal (n, token)."""
        schedule = NoiseSchedule.cosine()
        x = diffuse(schedule, tokens, t, noise)
        output = self.net(x, t, z)
        estimate, variance = output.chunk(2, dim=1)
        # The bound teaches the variance alone: the noise has a loss of its own.
        held = torch.cat([estimate.detach(), variance], dim=1)
        bound = _bound(schedule, tokens, x, t, reverse(schedule, x, t, held))
        return Loss((noise - estimate).square().mean(dim=1), bound)

    def loss(self, tokens: Tensor, z: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """(n,); arguments as those of `terms`."""
        mse, bound = self.terms(tokens, z, t, noise)
        return mse + bound

    def sample(
        self,
        z: Tensor,
        noise: Tensor,
        guidance: Guidance | None = None,
        *,
        steps: int,
        temperature: float = 1.0,
    ) -> Tensor:
        """Tokens (n, token) for z (n, W); noise (n, steps, token): x_T, then that of each step."""
        *_, tokens = self.trajectory(z, noise, guidance, steps=steps, temperature=temperature)
        return tokens

    def trajectory(
        self,
        z: Tensor,
        noise: Tensor,
        guidance: Guidance | None = None,
        *,
        steps: int,
        temperature: float = 1.0,
    ) -> Iterator[Tensor]:
        """x (n, token) after each step; the last, which adds no noise, is the token."""
        schedule = NoiseSchedule.respaced(steps)
        x = noise[:, 0]
        for done in range(1, steps + 1):
            index = torch.full_like(x[:, 0], steps - done, dtype=torch.int64)  # (n,)
            t = torch.from_numpy(schedule.timestep_map).to(x.device)[index]
            step = reverse(schedule, x, index, self.net.guided(x, t, z, guidance))
            x = step.mean if done == steps else step.sample(noise[:, done], temperature)
            yield x


def _bound(
    schedule: NoiseSchedule, tokens: Tensor, x: Tensor, index: Tensor, step: Reverse
) -> Tensor:
    """(n,) bits a value: divergence from the true posterior; at index 0 the token's likelihood."""
    true = _step(schedule, index, x)
    difference = step.log_variance - true.log_lower
    distance = (true.mean(tokens, x) - step.mean).square() * (-step.log_variance).exp()
    divergence = 0.5 * (difference + (-difference).exp() - 1.0 + distance)  # (n, token)
    likelihood = log_likelihood(tokens, step.mean, 0.5 * step.log_variance)
    nats = torch.where(index[:, None] == 0, -likelihood, divergence)
    return nats.mean(dim=1) / math.log(2.0)


def log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Nats of each value, taken as one of 256 bins from -1 to 1, the outermost open."""
    centred, inverse = x - mean, (-log_scale).exp()
    below = _normal_cdf(inverse * (centred - HALF_BIN))
    upto = _normal_cdf(inverse * (centred + HALF_BIN))
    probability = torch.where(x < -0.999, upto, torch.where(x > 0.999, 1.0 - below, upto - below))
    return probability.clamp(min=LEAST_PROBABILITY).log()


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + CDF_CUBIC * x.pow(3))))
