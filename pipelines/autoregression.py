"""How many tokens of a latent each autoregressive step draws.

Source: Chang et al. 2022 (MaskGIT, the cosine schedule); Li et al. 2024 (MAR).
"""

from __future__ import annotations

import math
from typing import NamedTuple


class AutoregressiveSchedule(NamedTuple):
    """How many tokens each step draws, and how many of the latent it counts as still masked.

    `masked` (which linear guidance goes by) never falls to 0: the last step draws all that is left.
    """

    drawn: tuple[int, ...]
    masked: tuple[int, ...]

    @classmethod
    def cosine(cls, tokens: int, steps: int) -> AutoregressiveSchedule:
        """Few tokens while little is known, many at the end; a step draws at least one."""
        left, masked = tokens, []
        for step in range(1, steps + 1):
            aim = math.floor(tokens * math.cos(math.pi / 2 * step / steps))
            left = max(1, min(left - 1, aim))
            masked.append(left)
        before = (tokens, *masked[:-1])
        after = (*masked[:-1], 0)
        return cls(tuple(b - a for b, a in zip(before, after, strict=True)), tuple(masked))

    def linear_scale(self, step: int, scale: float) -> float:
        """Guidance that grows with the share that is known, from 1 towards `scale`."""
        tokens = sum(self.drawn)
        return 1.0 + (scale - 1.0) * (tokens - self.masked[step]) / tokens
