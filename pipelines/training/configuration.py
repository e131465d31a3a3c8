"""The training configuration: one TOML file, one frozen tree."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from node.domain.errors import UnusableData
from pipelines.cardionets.autoencoder import AutoencoderSize
from pipelines.cardionets.cmr_encoder import CmrEncoderSize
from pipelines.cardionets.ecg_encoder import EcgEncoderSize
from pipelines.cardionets.segmenter import SegmenterSize
from pipelines.cohort.simulation import CohortSizes
from pipelines.sampler_spec import Presets
from pipelines.training.align import AlignSettings
from pipelines.training.diseases import DiseasesSettings
from pipelines.training.engine import Hardware
from pipelines.training.fusion import FusionSettings
from pipelines.training.generator import GeneratorSettings
from pipelines.training.layout import LayoutSettings
from pipelines.training.meter import MeterSettings
from pipelines.training.phenotypes import PhenotypesSettings
from pipelines.training.pretrain_cmr import PretrainCmrSettings
from pipelines.training.pretrain_ecg import PretrainEcgSettings
from pipelines.training.tokenizer import TokenizerSettings


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GeneratorShape(_Table):
    """What the latent does not say of the generator's size."""

    patch: tuple[PositiveInt, PositiveInt, PositiveInt]
    buffer: PositiveInt
    width: PositiveInt
    heads: PositiveInt
    encoder_depth: PositiveInt
    decoder_depth: PositiveInt
    mlp: PositiveInt
    head_width: PositiveInt
    head_depth: PositiveInt


class LayoutShape(_Table):
    """What the latent does not say of the layout's size."""

    components: PositiveInt
    width: PositiveInt
    depth: PositiveInt


class Networks(_Table):
    """The sizes of the family's members."""

    ecg_encoder: EcgEncoderSize
    cmr_encoder: CmrEncoderSize
    autoencoder: AutoencoderSize
    layout: LayoutShape | None = None
    generator: GeneratorShape | None = None
    meter: SegmenterSize = SegmenterSize()


class Stages(_Table):
    """How each stage trains."""

    pretrain_ecg: PretrainEcgSettings
    pretrain_cmr: PretrainCmrSettings
    align: AlignSettings
    phenotypes: PhenotypesSettings
    diseases: DiseasesSettings
    meter: MeterSettings | None = None
    """Measures drawn cines, in evaluation alone; it learns from a simulator's outlines."""
    tokenizer: TokenizerSettings
    layout: LayoutSettings | None = None
    generator: GeneratorSettings | None = None


class Comparison(_Table):
    """Stage phenotypes from the aligned encoder against the same network from scratch."""

    labels: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = (0.01, 0.1, 1.0)
    """Shares of the training subjects whose phenotypes are used."""
    rates: tuple[PositiveFloat, ...] = (0.3, 1.0, 3.0)
    """Learning rates tried for each, over the stage's own."""
    steps: tuple[PositiveInt, ...] = ()
    """Lengths tried for each; none: as many as the stage. With few labels the short ones win."""
    frozen: tuple[bool, ...] = (False,)
    """Whether the encoder stays as it is, tried for each: few labels spoil a good one."""
    fusion: FusionSettings | None = None
    """Of ECG and drawn cine; both encoders must be equally wide."""


class Sampling(_Table):
    """How the bundle draws a cine: whole, by its layout, or token by token."""

    sampler: Literal["layout", "generator"]
    samples: PositiveInt = 16
    shown: Literal["sample", "mean", "expected"] = "sample"
    steps: PositiveInt = 8
    """Of the flow, or of the generator's diffusion."""
    ar_steps: PositiveInt = 16
    """Of the generator, each drawing some of the tokens."""
    guidance: PositiveFloat = 1.0
    """Of the generator; 1 is none."""
    presets: Presets = Field(default_factory=dict)
    """Other ways to draw that the bundle offers."""


class Population(_Table):
    """Whom the training set holds, as the bundle tells a node."""

    age_years: tuple[NonNegativeFloat, NonNegativeFloat]
    description: str


class TrainingConfiguration(_Table):
    """All of it. Without `cohort` the training set must be there already: real data."""

    name: str
    version: str
    seed: int
    licence: str
    """Of the bundle."""
    threads: PositiveInt | None = Field(default=None)
    """Of one CPU process; None leaves it to torch. Another number, other last digits."""
    cohort: CohortSizes | None = None
    hardware: Hardware = Hardware()
    population: Population
    networks: Networks
    stages: Stages
    sampling: Sampling
    comparison: Comparison = Comparison()

    @model_validator(mode="after")
    def _has_what_the_sampler_needs(self) -> Self:
        name = self.sampling.sampler
        for table in ("networks", "stages"):
            if getattr(getattr(self, table), name) is None:
                raise ValueError(f"sampling.sampler is {name!r}, so {table}.{name} must be there")
        if name == "generator" and self.sampling.shown == "expected":
            raise ValueError("sampling.shown 'expected' is of a layout: a generator only draws")
        return self


def read_configuration(file: Path) -> TrainingConfiguration:
    """Read a training configuration.

    Raises UnusableData (no such file), and names every problem with its key.
    """
    try:
        return TrainingConfiguration.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UnusableData(f"{file} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise UnusableData(f"{file} is not TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise UnusableData(f"{file}: {problems}") from error
