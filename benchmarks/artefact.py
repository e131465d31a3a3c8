"""The published way to draw, trained to be measured against: it is in no bundle.

    python -m benchmarks.artefact RUNS

trains a masked autoregressive generator with the published diffusion head on the cohort, the
latents and the conditions of a finished training, into RUNS/generator: an hour of one core. Again
after a kill: it goes on.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.noise_schedule import NoiseSchedule
from pipelines.runtime import Array, Feed, Session, Tensor
from pipelines.training.configuration import GeneratorShape, read_configuration
from pipelines.training.generator import GeneratorSettings, GeneratorStage
from pipelines.training.run import Training
from pipelines.training.stage import Stage

CONFIGURATIONS: Final = Path(__file__).parents[1] / "config" / "training"
STAGE: Final = "generator"
SHAPE: Final = GeneratorShape(
    patch=(1, 2, 2),
    buffer=8,
    width=192,
    heads=4,
    encoder_depth=3,
    decoder_depth=3,
    mlp=768,
    head_width=256,
    head_depth=3,
)
SETTINGS: Final = GeneratorSettings(
    head="diffusion",
    cines=6000,
    steps=3600,
    batch=32,
    uses=2,
    learning_rate=8e-4,
    warm_up=200,
    average=0.999,
    checkpoint_every=100,
)
UNITS: Final = "units.npz"
LARGEST: Final = 5.0
"""Standard deviations of a latent's value over the cohort."""
_STEPS: Final = NoiseSchedule.cosine()


class ArtefactTraining(Training):
    """A finished training, with a generator beside its layout.

    The generator learns latents whose every value has mean 0 and variance 1 over the cohort, as the
    steps of a diffusion suppose.
    """

    def _generator(self) -> Stage:
        latents, conditions = self._latents_and_conditions(SETTINGS)
        file = self.folder / STAGE / UNITS
        file.parent.mkdir(exist_ok=True)
        mean, spread = latents.mean(dim=0, keepdim=True), latents.std(dim=0, keepdim=True)
        np.savez(file, allow_pickle=False, mean=mean.numpy(), spread=spread.numpy())
        return GeneratorStage(
            SETTINGS,
            self.configuration.seed,
            self._new_generator(),
            (latents - mean) / spread,
            conditions,
        )

    def in_units(self, decoder: Session) -> Session:
        """The decoder of what the finished generator draws."""
        with np.load(self.folder / STAGE / UNITS, allow_pickle=False) as units:
            return _InUnits(decoder=decoder, mean=units["mean"], spread=units["spread"])

    def bounded(self, head: Session) -> Session:
        """The head of the finished generator, kept from what no latent is."""
        return _Bounded(head=head)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounded:
    """A diffusion head whose every guess at the token without noise is cut at `LARGEST`.

    Published sampling cuts nothing. But the first steps magnify an error of the noise a
    hundredfold, and a head that has learnt for an hour of one core, not for weeks of GPUs, errs.
    """

    head: Session = field(repr=False)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.head.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.head.outputs

    def run(self, inputs: Feed) -> dict[str, Array]:
        estimate, x = self.head.run(inputs)["estimate"], inputs["x"]
        noise, variance = np.split(estimate, 2, axis=1)
        step = _STEPS.step(lambda table: table[inputs["t"].astype(np.int64), np.newaxis])
        start = step.start(x, noise).clip(-LARGEST, LARGEST)
        bounded = (step.of_x * x - start) / step.of_noise
        return {"estimate": np.concatenate([bounded, variance], axis=1).astype(np.float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _InUnits:
    """A decoder of latents that are drawn in other units."""

    decoder: Session = field(repr=False)
    mean: Array = field(repr=False)
    spread: Array = field(repr=False)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.decoder.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return self.decoder.outputs

    def run(self, inputs: Feed) -> dict[str, Array]:
        latent = self.mean + self.spread * inputs["latent"]
        return self.decoder.run({"latent": latent.astype(np.float32)})


def artefact_training(runs: Path, name: str) -> ArtefactTraining:
    """Of the finished training in the folder `runs`, of config/training/<name>.toml."""
    configuration = read_configuration(CONFIGURATIONS / f"{name}.toml")
    networks = configuration.networks.model_copy(update={STAGE: SHAPE})
    stages = configuration.stages.model_copy(update={STAGE: SETTINGS})
    sampling = configuration.sampling.model_copy(update={"sampler": STAGE})
    changed = {"networks": networks, "stages": stages, "sampling": sampling}
    return ArtefactTraining(runs, configuration.model_copy(update=changed))


if __name__ == "__main__":
    from benchmarks.shipped import NAME

    artefact_training(Path(sys.argv[1]), NAME).train(STAGE, progress=sys.stderr.isatty())
