"""The way from noise (t = 0) to a token (t = 1) along a velocity, in a few steps.

One place for training and serving: x is an array of numpy or of torch.
Sources: Lipman et al. 2023 (flow matching); Liu et al. 2023 (rectified flow).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final

TIME_SCALE: Final = 1000.0
"""t of 0 … 1 spread over the periods of the time embedding, made for 1000 steps."""

Values = Any
Velocity = Callable[[Values, float], Values]
"""Of x at t."""


class Solver(Enum):
    """How a step is taken; the second two see the velocity twice and err by the square."""

    EULER = "euler"
    HEUN = "heun"
    MIDPOINT = "midpoint"


def follow(velocity: Velocity, x: Values, *, steps: int, solver: Solver) -> Values:
    """Where x comes to."""
    width = 1.0 / steps
    for step in range(steps):
        x = _advance(velocity, x, step * width, width, solver)
    return x


def _advance(velocity: Velocity, x: Values, t: float, width: float, solver: Solver) -> Values:
    first = velocity(x, t)
    if solver is Solver.EULER:
        return x + width * first
    if solver is Solver.MIDPOINT:
        return x + width * velocity(x + 0.5 * width * first, t + 0.5 * width)
    second = velocity(x + width * first, t + width)
    return x + 0.5 * width * (first + second)
