"""The diffusion head, as published: a token drawn in many small steps back from noise.

The network says the noise in a token and where the step's variance lies between its bounds. All
tables are float64 and take the tokens' dtype where they are used.
Sources: Ho et al. 2020; Nichol & Dhariwal 2021 (cosine schedule, learned variance, respacing).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Denoiser, Guidance, HeadSize

TRAINING_STEPS = 1000
LARGEST_BETA = 0.999
COSINE_OFFSET = 0.008
HALF_BIN = 1.0 / 255.0
"""Half the width of a value's bin in the likelihood: 256 of them from -1 to 1."""
CDF_CUBIC = 0.0447
"""Of tanh's approximation of the normal distribution; published so, where others write 0.044715."""
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseSchedule:
    """Tables over the kept steps, (N,) float64; timestep_map: each one's place among all 1000."""

    timestep_map: Tensor
    betas: Tensor

    @classmethod
    def cosine(cls) -> NoiseSchedule:
        """All steps of the training."""
        share = torch.arange(TRAINING_STEPS + 1, dtype=torch.float64) / TRAINING_STEPS
        angle = (share + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * (math.pi / 2.0)
        level = angle.cos().square()  # (N+1,)
        return cls(
            timestep_map=torch.arange(TRAINING_STEPS),
            betas=(1.0 - level[1:] / level[:-1]).clamp(max=LARGEST_BETA),
        )

    @classmethod
    def respaced(cls, steps: int) -> NoiseSchedule:
        """`steps` of the training's, spread evenly from the first to the last: at least 2."""
        if not 2 <= steps <= TRAINING_STEPS:
            raise ValueError(f"steps must be 2 to {TRAINING_STEPS}")
        stride = (TRAINING_STEPS - 1) / (steps - 1)
        kept = torch.tensor([round(step * stride) for step in range(steps)])
        level = cls.cosine().alphas_cumprod[kept]
        return cls(timestep_map=kept, betas=1.0 - level / _before(level))

    @property
    def alphas_cumprod(self) -> Tensor:
        return (1.0 - self.betas).cumprod(dim=0)

    @property
    def alphas_cumprod_prev(self) -> Tensor:
        return _before(self.alphas_cumprod)

    @property
    def sqrt_recip_alphas_cumprod(self) -> Tensor:
        return (1.0 / self.alphas_cumprod).sqrt()

    @property
    def sqrt_recipm1_alphas_cumprod(self) -> Tensor:
        return (1.0 / self.alphas_cumprod - 1.0).sqrt()

    @property
    def posterior_variance(self) -> Tensor:
        return self.betas * (1.0 - self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @property
    def posterior_log_variance_clipped(self) -> Tensor:
        """The first step's variance is 0: it takes the second's logarithm."""
        variance = self.posterior_variance
        return torch.cat([variance[1:2], variance[1:]]).log()

    @property
    def posterior_mean_coef1(self) -> Tensor:
        """Of x_0."""
        return self.betas * self.alphas_cumprod_prev.sqrt() / (1.0 - self.alphas_cumprod)

    @property
    def posterior_mean_coef2(self) -> Tensor:
        """Of x_t."""
        left = (1.0 - self.alphas_cumprod_prev) * (1.0 - self.betas).sqrt()
        return left / (1.0 - self.alphas_cumprod)


def _before(level: Tensor) -> Tensor:
    """What the step before left of the signal; before the first, all of it."""
    return torch.cat([torch.ones(1, dtype=torch.float64), level[:-1]])


def _at(table: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """The table's values at index (n,), to multiply (n, token)."""
    return table.to(like.device)[index].to(like.dtype)[:, None]


def diffuse(schedule: NoiseSchedule, tokens: Tensor, index: Tensor, noise: Tensor) -> Tensor:
    """x_t: the tokens (n, token) with the noise of step index (n,) in them."""
    level = schedule.alphas_cumprod
    signal = _at(level.sqrt(), index, tokens)
    return signal * tokens + _at((1.0 - level).sqrt(), index, tokens) * noise


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
    start = _at(schedule.sqrt_recip_alphas_cumprod, index, x) * x
    start = start - _at(schedule.sqrt_recipm1_alphas_cumprod, index, x) * noise
    return Reverse(
        mean=_posterior_mean(schedule, start, x, index),
        log_variance=_log_variance(schedule, variance, index),
        start=start,
    )


def _posterior_mean(schedule: NoiseSchedule, start: Tensor, x: Tensor, index: Tensor) -> Tensor:
    first = _at(schedule.posterior_mean_coef1, index, x) * start
    return first + _at(schedule.posterior_mean_coef2, index, x) * x


def _log_variance(schedule: NoiseSchedule, variance: Tensor, index: Tensor) -> Tensor:
    """The network's -1 … 1 between the posterior's variance and beta, in logarithms."""
    share = (variance + 1.0) / 2.0
    upper = _at(schedule.betas.log(), index, variance)
    return share * upper + (1.0 - share) * _at(
        schedule.posterior_log_variance_clipped, index, variance
    )


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
            t = schedule.timestep_map.to(x.device)[index]
            step = reverse(schedule, x, index, self.net.guided(x, t, z, guidance))
            x = step.mean if done == steps else step.sample(noise[:, done], temperature)
            yield x


def _bound(
    schedule: NoiseSchedule, tokens: Tensor, x: Tensor, index: Tensor, step: Reverse
) -> Tensor:
    """(n,) bits a value: divergence from the true posterior; at index 0 the token's likelihood."""
    true_mean = _posterior_mean(schedule, tokens, x, index)
    true_log_variance = _at(schedule.posterior_log_variance_clipped, index, x)
    difference = step.log_variance - true_log_variance
    distance = (true_mean - step.mean).square() * (-step.log_variance).exp()
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
