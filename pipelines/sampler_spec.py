"""How a bundle's cine is drawn: the sampler's section of the manifest, and its run-time settings.

A caller may draw with other steps, guidance, temperature or samples than the bundle's: it hands
the sampler another `SamplerSpec`.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.flow_path import Solver
from pipelines.graph_spec import Declaration, Size
from pipelines.noise_schedule import TRAINING_STEPS


class HeadSpec(Declaration):
    """How a token is drawn: in diffusion steps back, or along a flow."""

    kind: Literal["diffusion", "flow"]
    steps: Annotated[int, Field(ge=1, le=TRAINING_STEPS)]
    solver: Solver | None = None
    """Of a flow."""

    @model_validator(mode="after")
    def _suits_its_kind(self) -> Self:
        if (self.kind == "flow") != (self.solver is not None):
            raise ValueError("a flow head has a solver, a diffusion head has none")
        if self.kind == "diffusion" and self.steps < 2:
            raise ValueError("a diffusion head needs at least 2 steps")
        return self


class GuidanceSpec(Declaration):
    """Classifier-free guidance: 1 is none; linear grows from 1 as the latent becomes known."""

    scale: Annotated[float, Field(ge=1)]
    schedule: Literal["constant", "linear"]


class SamplerSpec(Declaration):
    """A masked autoregressive sampler over the graphs trunk, head and decoder."""

    graphs: ClassVar[tuple[str, ...]] = ("trunk", "head", "decoder")

    kind: Literal["masked-autoregressive"]
    latent: tuple[Size, Size, Size, Size]
    """Channels, frames, rows, columns of the decoder's latent."""
    patch: tuple[Size, Size, Size]
    """Frames, rows, columns of it that are one token."""
    tokens: Size
    token_values: Size
    decoding: Literal["all", "next"]
    """What the trunk is asked for at each step: all places not yet known, or the next alone."""
    ar_steps: Size
    head: HeadSpec
    guidance: GuidanceSpec
    temperature: Annotated[float, Field(gt=0, le=2)]
    """Scales the noise of each diffusion step."""
    samples: Annotated[int, Field(ge=1, le=64)]
    shown: Literal["sample", "mean"]
    """The first sample, or the mean of all."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along frames, rows and columns."""
        t, h, w = (side // part for side, part in zip(self.latent[1:], self.patch, strict=True))
        return t, h, w

    @property
    def schedule(self) -> AutoregressiveSchedule:
        return AutoregressiveSchedule.cosine(self.tokens, self.ar_steps)

    @property
    def draws(self) -> int:
        """Noise vectors that each token needs."""
        return self.head.steps if self.head.kind == "diffusion" else 1

    def scales(self) -> tuple[float, ...] | None:
        """Guidance of every autoregressive step; None is no guidance."""
        scale, schedule = self.guidance.scale, self.schedule
        if scale == 1.0:
            return None
        if self.guidance.schedule == "constant":
            return (scale,) * self.ar_steps
        return tuple(schedule.linear_scale(step, scale) for step in range(self.ar_steps))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if any(side % part for side, part in zip(self.latent[1:], self.patch, strict=True)):
            raise ValueError("the latent must be a whole number of patches along every axis")
        if self.tokens != math.prod(self.grid):
            raise ValueError(
                f"latent and patch make {math.prod(self.grid)} tokens, not {self.tokens}"
            )
        values = self.latent[0] * math.prod(self.patch)
        if self.token_values != values:
            raise ValueError(
                f"a patch of the latent has {values} values, a token {self.token_values}"
            )
        if self.ar_steps > self.tokens:
            raise ValueError("ar_steps cannot be more than tokens: each step draws one at least")
        if self.head.kind == "flow" and self.temperature != 1.0:
            raise ValueError("temperature is of a diffusion head; with a flow it must be 1")
        if self.shown == "mean" and self.samples == 1:
            raise ValueError("a mean needs more than one of samples")
        return self


class LayoutSpec(Declaration):
    """A layout sampler over the graphs layout and decoder."""

    graphs: ClassVar[tuple[str, ...]] = ("layout", "decoder")

    kind: Literal["layout"]
    latent: tuple[Size, Size, Size, Size]
    """Channels, frames, rows, columns of the decoder's latent."""
    components: Size
    """Numbers that lay out a cine."""
    samples: Annotated[int, Field(ge=1, le=64)]
    shown: Literal["sample", "mean", "expected"]
    """The first sample, the mean of all, or the cine of no noise: what the ECG says and no more."""

    @model_validator(mode="after")
    def _has_what_it_shows(self) -> Self:
        if self.shown == "mean" and self.samples == 1:
            raise ValueError("a mean needs more than one of samples")
        return self
