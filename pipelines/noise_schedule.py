"""How noisy a token is at each diffusion step, and the way one step back.

One place for training and serving: tables are float64 numpy, and take the tokens' dtype, numpy's
or torch's, where they are used.
Sources: Ho et al. 2020; Nichol & Dhariwal 2021 (cosine schedule, learned variance, respacing).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

TRAINING_STEPS: Final = 1000
LARGEST_BETA: Final = 0.999
COSINE_OFFSET: Final = 0.008

Table = NDArray[np.float64]
Values = Any
"""Numbers or arrays of numpy or torch: the formulas below are the same for all of them."""


class ReverseStep(NamedTuple):
    """The numbers of one step back; each a scalar, or one a token (n, 1)."""

    of_x: Values
    of_noise: Values
    mean_of_start: Values
    mean_of_x: Values
    log_upper: Values
    """Beta's logarithm: the most that a step's variance can be."""
    log_lower: Values
    """The posterior variance's logarithm: the least."""

    def start(self, x: Values, noise: Values) -> Values:
        """x_0 as it follows from x_t and the noise in it; not clipped."""
        return self.of_x * x - self.of_noise * noise

    def mean(self, start: Values, x: Values) -> Values:
        """Of the posterior of x_(t-1), given x_0 and x_t."""
        return self.mean_of_start * start + self.mean_of_x * x

    def log_variance(self, variance: Values) -> Values:
        """The network's -1 … 1 between the least variance and the most, in logarithms."""
        share = (variance + 1.0) / 2.0
        return share * self.log_upper + (1.0 - share) * self.log_lower


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoiseSchedule:
    """Tables over the kept steps, (N,) float64; timestep_map: each one's place among all 1000."""

    timestep_map: NDArray[np.int64]
    betas: Table

    @classmethod
    def cosine(cls) -> NoiseSchedule:
        """All steps of the training."""
        share = np.arange(TRAINING_STEPS + 1) / TRAINING_STEPS
        angle = (share + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * (math.pi / 2.0)
        level: Table = np.square(np.cos(angle))  # (N+1,)
        return cls(
            timestep_map=np.arange(TRAINING_STEPS),
            betas=(1.0 - level[1:] / level[:-1]).clip(max=LARGEST_BETA),
        )

    @classmethod
    def respaced(cls, steps: int) -> NoiseSchedule:
        """`steps` of the training's, spread evenly from the first to the last: at least 2."""
        if not 2 <= steps <= TRAINING_STEPS:
            raise ValueError(f"steps must be 2 to {TRAINING_STEPS}")
        stride = (TRAINING_STEPS - 1) / (steps - 1)
        kept = np.array([round(step * stride) for step in range(steps)])
        level = cls.cosine().alphas_cumprod[kept]
        return cls(timestep_map=kept, betas=1.0 - level / _before(level))

    @property
    def alphas_cumprod(self) -> Table:
        return np.cumprod(1.0 - self.betas, dtype=np.float64)

    @property
    def alphas_cumprod_prev(self) -> Table:
        return _before(self.alphas_cumprod)

    @property
    def sqrt_recip_alphas_cumprod(self) -> Table:
        return np.sqrt(1.0 / self.alphas_cumprod)

    @property
    def sqrt_recipm1_alphas_cumprod(self) -> Table:
        return np.sqrt(1.0 / self.alphas_cumprod - 1.0)

    @property
    def posterior_variance(self) -> Table:
        return self.betas * (1.0 - self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @property
    def posterior_log_variance_clipped(self) -> Table:
        """The first step's variance is 0: it takes the second's logarithm."""
        variance = self.posterior_variance
        clipped: Table = np.log(np.concatenate([variance[1:2], variance[1:]]))
        return clipped

    @property
    def posterior_mean_coef1(self) -> Table:
        """Of x_0."""
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1.0 - self.alphas_cumprod)

    @property
    def posterior_mean_coef2(self) -> Table:
        """Of x_t."""
        left = (1.0 - self.alphas_cumprod_prev) * np.sqrt(1.0 - self.betas)
        return left / (1.0 - self.alphas_cumprod)

    def step(self, at: Callable[[Table], Values]) -> ReverseStep:
        """The step back whose numbers `at` picks from a table."""
        return ReverseStep(
            of_x=at(self.sqrt_recip_alphas_cumprod),
            of_noise=at(self.sqrt_recipm1_alphas_cumprod),
            mean_of_start=at(self.posterior_mean_coef1),
            mean_of_x=at(self.posterior_mean_coef2),
            log_upper=at(np.log(self.betas)),
            log_lower=at(self.posterior_log_variance_clipped),
        )


def _before(level: Table) -> Table:
    """What the step before left of the signal; before the first, all of it."""
    return np.concatenate([[1.0], level[:-1]])
