"""How a bundle's cine is drawn: the sampler's section of the manifest, and its run-time settings.

A caller may draw with other steps, guidance, temperature or samples than the bundle's: it hands
the sampler another `SamplerSpec`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.flow_path import Solver
from pipelines.graph_spec import Declaration, Range, Size, Text
from pipelines.noise_schedule import TRAINING_STEPS

Samples = Annotated[int, Field(ge=1, le=64)]


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


class Preset(Declaration):
    """Another way to draw with the same graphs: what it changes, and why one would."""

    description: Text
    shown: Literal["sample", "mean", "expected"] | None = None
    samples: Samples | None = None
    temperature: Annotated[float, Field(gt=0, le=2)] | None = None
    ar_steps: Size | None = None
    """Of a masked autoregressive sampler, as the two that follow."""
    head_steps: Size | None = None
    guidance: Annotated[float, Field(ge=1)] | None = None

    def of_tokens(self) -> dict[str, object]:
        """What only a masked autoregressive sampler can change, as far as it is changed."""
        changes = {
            "ar_steps": self.ar_steps, "head_steps": self.head_steps, "guidance": self.guidance,
        }  # fmt: skip
        return {name: value for name, value in changes.items() if value is not None}


PresetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
Presets = Mapping[PresetName, Preset]


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
    samples: Samples
    shown: Literal["sample", "mean"]
    """The first sample, or the mean of all."""
    presets: Presets = Field(default_factory=dict)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Patches along frames, rows and columns."""
        t, h, w = (side // part for side, part in zip(self.latent[1:], self.patch, strict=True))
        return t, h, w

    @property
    def schedule(self) -> AutoregressiveSchedule:
        return AutoregressiveSchedule.cosine(self.tokens, self.ar_steps)

    @property
    def sizes(self) -> dict[str, Range]:
        """Of what the graphs leave open."""
        drawn = 1 if self.shown == "sample" else self.samples
        ways = 1 if self.guidance.scale == 1.0 else 2  # each place with and without the condition
        step = -(-self.tokens // self.ar_steps)
        most = 2 * _most_samples(self.samples, self.presets)
        return {
            "samples": Range(1, ways * drawn, most),
            "known": Range(0, self.tokens // 2, self.tokens),
            "masked": Range(1, step, self.tokens),
            "rows": Range(1, ways * drawn * step, most * self.tokens),
        }

    def with_preset(self, name: str) -> SamplerSpec:
        """The sampler as the preset changes it. Raises KeyError (unknown), ValidationError."""
        preset = self.presets[name]
        head = {"steps": preset.head_steps or self.head.steps}
        guidance = {"scale": preset.guidance or self.guidance.scale}
        return _changed(
            self,
            preset,
            ar_steps=preset.ar_steps or self.ar_steps,
            head=self.head.model_dump() | head,
            guidance=self.guidance.model_dump() | guidance,
        )

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
        for name in self.presets:
            self.with_preset(name)
        return self


class LayoutSpec(Declaration):
    """A layout sampler over the graphs layout and decoder."""

    graphs: ClassVar[tuple[str, ...]] = ("layout", "decoder")

    kind: Literal["layout"]
    latent: tuple[Size, Size, Size, Size]
    """Channels, frames, rows, columns of the decoder's latent."""
    components: Size
    """Numbers that lay out a cine."""
    samples: Samples
    shown: Literal["sample", "mean", "expected"]
    """The first sample, the mean of all, or the cine of no noise: what the ECG says and no more."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Of the noise: less is nearer to the cine of no noise, and less varied than hearts are."""
    presets: Presets = Field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, Range]:
        """Of what the graphs leave open."""
        usual = self.samples if self.shown == "mean" else 1
        return {"samples": Range(1, usual, max(2, _most_samples(self.samples, self.presets)))}

    def with_preset(self, name: str) -> LayoutSpec:
        """The sampler as the preset changes it. Raises KeyError (unknown), ValidationError."""
        return _changed(self, self.presets[name])

    @model_validator(mode="after")
    def _has_what_it_shows(self) -> Self:
        if self.shown == "mean" and self.samples == 1:
            raise ValueError("a mean needs more than one of samples")
        for name, preset in self.presets.items():
            if preset.of_tokens():
                raise ValueError(
                    f"preset {name} changes {', '.join(preset.of_tokens())}, which a layout lacks"
                )
            self.with_preset(name)
        return self


_Spec = TypeVar("_Spec", SamplerSpec, LayoutSpec)


def _changed(spec: _Spec, preset: Preset, **changes: object) -> _Spec:
    """A spec checked anew, without presets."""
    stated = spec.model_dump(exclude={"presets"}) | changes
    stated |= {
        "shown": preset.shown or spec.shown,
        "samples": preset.samples or spec.samples,
        "temperature": preset.temperature or spec.temperature,
    }
    return type(spec).model_validate(stated)


def _most_samples(samples: int, presets: Presets) -> int:
    return max(samples, *(preset.samples or 0 for preset in presets.values()), 0)
