"""The order of the stages, and what each takes from those before it.

A folder holds everything of one training: `data/`, the training set; one folder for each stage,
with its weights, checkpoint and log. A stage that has its weights is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from node.domain.errors import UnusableData
from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.ecg_to_phenotypes import CONDITION, EcgToPhenotypes
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator, MarSize
from pipelines.cardionets.heads import projection_head
from pipelines.cardionets.layout import Layout, LayoutSize
from pipelines.cardionets.left_ventricle import VentricleMeter
from pipelines.cohort.simulation import CohortSizes, Tick, population_of, simulate_cohort
from pipelines.datasets.training_set import (
    STATEMENT,
    Statement,
    TrainingSet,
    open_training_set,
)
from pipelines.preprocessing import RECIPES
from pipelines.training.align import Align, check_batch
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.diseases import Diseases
from pipelines.training.engine import WEIGHTS, train_stage
from pipelines.training.generator import GeneratorStage
from pipelines.training.latents import DrawingSettings, encode_cines, varied_conditions
from pipelines.training.layout import LayoutStage
from pipelines.training.meter import Meter, pixel_mm
from pipelines.training.needs import check_needs
from pipelines.training.phenotypes import Phenotypes, PhenotypesSettings
from pipelines.training.pretrain_cmr import PretrainCmr
from pipelines.training.pretrain_ecg import PretrainEcg
from pipelines.training.stage import Stage
from pipelines.training.tokenizer import Tokenizer

DATA: Final = "data"


class AlignedPair(NamedTuple):
    """Encoders with their projections: ECG and CMR of one subject come out alike."""

    ecg: EcgEncoder
    cmr: CmrEncoder


@dataclass(frozen=True)
class Training:
    """One training in one folder: builds each stage from the finished ones before it."""

    folder: Path
    configuration: TrainingConfiguration

    @property
    def stages(self) -> dict[str, Callable[[], Stage]]:
        """Name -> builder, in the order of training."""
        return {
            PretrainEcg.name: self._pretrain_ecg,
            PretrainCmr.name: self._pretrain_cmr,
            Align.name: self._align,
            Phenotypes.name: self._phenotypes,
            Diseases.name: self._diseases,
            **({Meter.name: self._meter} if self.configuration.stages.meter else {}),
            Tokenizer.name: self._tokenizer,
            **self._drawing,
        }

    @property
    def _drawing(self) -> dict[str, Callable[[], Stage]]:
        """The stage that the bundle's sampler needs."""
        if self.configuration.sampling.sampler == "layout":
            return {LayoutStage.name: self._layout}
        return {GeneratorStage.name: self._generator}

    def check(self) -> None:
        """Raise UnusableData where any stage lacks what it learns from, before the first trains."""
        for name in self.stages:
            check_needs(name, self.data)
        check_batch(self.configuration.stages.align, self.data)

    def train(self, name: str, *, progress: bool) -> None:
        """Train one stage to its end. Raises UnusableData (a stage before it is not finished)."""
        if not self.finished(name):
            check_needs(name, self.data)
            self.train_apart(self.stages[name](), self.folder / name, progress=progress)

    def train_apart(self, stage: Stage, folder: Path, *, progress: bool) -> None:
        """Train any stage into any folder, with this training's threads and hardware."""
        if self.configuration.threads is not None:
            torch.set_num_threads(self.configuration.threads)
        train_stage(stage, folder, self.configuration.hardware, progress=progress)

    def finished(self, name: str) -> bool:
        return (self.folder / name / WEIGHTS).exists()

    @cached_property
    def data(self) -> TrainingSet:
        found = open_training_set(self.folder / DATA)
        recipe, seen = RECIPES[found.statement.recipe], self.configuration.networks.ecg_encoder
        if recipe.beat_samples != seen.beat_samples:
            raise UnusableData(
                f"recipe {recipe.name} lays a beat of {recipe.beat_samples} samples in front of an "
                f"ECG: networks.ecg_encoder takes {seen.beat_samples} (beat_patches x patch)"
            )
        return found

    def prepare(self, tick: Tick) -> None:
        """Simulate the configured cohort into the folder, unless it is there.

        Raises UnusableData (another cohort is there; or nothing, and no cohort is configured).
        """
        sizes = self.configuration.cohort
        if sizes is None:
            _ = self.data
        elif (self.folder / DATA / STATEMENT).exists():
            _check_cohort(self.data.statement, sizes)
        else:
            simulate_cohort(self.folder / DATA, sizes, tick)

    def aligned(self) -> AlignedPair:
        """The finished encoders of stage align."""
        networks, weights = self.configuration.networks, self._weights(Align.name)
        embedding = self.configuration.stages.align.embedding
        ecg = EcgEncoder(
            networks.ecg_encoder, projection_head(networks.ecg_encoder.width, embedding)
        )
        ecg.load_state_dict(_under("ecg.", weights))
        cmr = self.cmr_encoder()
        cmr.head = projection_head(networks.cmr_encoder.width, embedding)
        cmr.head.load_state_dict(_under("cmr_projection.", weights))
        return AlignedPair(ecg.eval(), cmr.eval())

    def cmr_encoder(self) -> CmrEncoder:
        """As pretrained: no later stage changes it."""
        cmr = CmrEncoder(self.configuration.networks.cmr_encoder)
        cmr.load_state_dict(self._weights(PretrainCmr.name))
        return cmr.eval()

    def fine_tuning(self, settings: PhenotypesSettings, *, aligned: bool) -> Phenotypes:
        """Stage phenotypes from the aligned encoder, or from a new one."""
        network = self._new_ecg_network()
        if aligned:
            network.encoder.load_state_dict(_encoder_of(self._weights(Align.name)))
        return Phenotypes(settings, self.configuration.seed, network, self.data)

    def ecg_network(self) -> EcgToPhenotypes:
        """The finished ECG network, diseases included."""
        network = self._new_ecg_network()
        network.load_state_dict(self._weights(Diseases.name))
        return network.eval()

    def autoencoder(self) -> Autoencoder:
        """The finished tokenizer."""
        autoencoder = Autoencoder(self.configuration.networks.autoencoder)
        autoencoder.load_state_dict(self._weights(Tokenizer.name))
        return autoencoder.eval()

    def meter(self) -> VentricleMeter | None:
        """What measures drawn cines; None where the configuration has no such stage."""
        if self.configuration.stages.meter is None:
            return None
        meter = VentricleMeter(self.configuration.networks.meter, pixel_mm(self.data))
        meter.load_state_dict(self._weights(Meter.name))
        return meter.eval()

    def layout(self) -> Layout:
        """The finished layout."""
        layout = self._new_layout()
        layout.load_state_dict(self._weights(LayoutStage.name))
        return layout.eval()

    def generator(self) -> Generator:
        """The finished generator."""
        generator = self._new_generator()
        generator.load_state_dict(self._weights(GeneratorStage.name))
        return generator.eval()

    def _pretrain_ecg(self) -> Stage:
        c = self.configuration
        return PretrainEcg(c.stages.pretrain_ecg, c.seed, c.networks.ecg_encoder, self.data)

    def _pretrain_cmr(self) -> Stage:
        c = self.configuration
        return PretrainCmr(c.stages.pretrain_cmr, c.seed, c.networks.cmr_encoder, self.data)

    def _align(self) -> Stage:
        c = self.configuration
        ecg, cmr = EcgEncoder(c.networks.ecg_encoder), CmrEncoder(c.networks.cmr_encoder)
        ecg.load_state_dict(self._weights(PretrainEcg.name))
        cmr.load_state_dict(self._weights(PretrainCmr.name))
        return Align(c.stages.align, c.seed, ecg, cmr, self.data)

    def _phenotypes(self) -> Stage:
        return self.fine_tuning(self.configuration.stages.phenotypes, aligned=True)

    def _diseases(self) -> Stage:
        c, network = self.configuration, self._new_ecg_network()
        network.load_state_dict(self._weights(Phenotypes.name))
        return Diseases(c.stages.diseases, c.seed, network, self.data)

    def _meter(self) -> Stage:
        settings, size = self.configuration.stages.meter, self.configuration.networks.meter
        assert settings is not None  # of `stages`
        population = population_of(self.data.statement)
        return Meter(settings, self.configuration.seed, size, self.data, population)

    def _tokenizer(self) -> Stage:
        c = self.configuration
        return Tokenizer(c.stages.tokenizer, c.seed, c.networks.autoencoder, self.data)

    def _layout(self) -> Stage:
        settings = self.configuration.stages.layout
        assert settings is not None  # of the configuration
        latents, conditions = self._latents_and_conditions(settings)
        return LayoutStage(
            settings, self.configuration.seed, self._new_layout(), latents, conditions
        )

    def _generator(self) -> Stage:
        settings = self.configuration.stages.generator
        assert settings is not None  # of the configuration
        latents, conditions = self._latents_and_conditions(settings)
        return GeneratorStage(
            settings, self.configuration.seed, self._new_generator(), latents, conditions
        )

    def _latents_and_conditions(self, settings: DrawingSettings) -> tuple[Tensor, Tensor]:
        """Of training subjects with a cine: (m, c, t, h, w) and (variants, m, C)."""
        rows = self.data.cines_of(self.data.statement.train_part)[: settings.cines]
        latents = encode_cines(self.autoencoder(), self.data, rows)
        conditions = varied_conditions(
            self.ecg_network(),
            self.data,
            self.data.cine_subject[rows],
            variants=settings.variants,
            hidden=settings.hidden,
            chance=np.random.Generator(np.random.Philox(self.configuration.seed)),
        )
        return latents, conditions

    def _new_ecg_network(self) -> EcgToPhenotypes:
        torch.manual_seed(self.configuration.seed)
        statement = self.data.statement
        return EcgToPhenotypes(
            self.configuration.networks.ecg_encoder,
            targets=len(statement.field_ids) + 1,
            diseases=len(statement.diseases),
        )

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Channels, frames, rows, columns of a cine's latent."""
        coder = self.configuration.networks.autoencoder
        t, h, w = coder.stride
        frames, rows, columns = self.data.cine.shape[1:]
        return coder.latent_channels, frames // t, rows // h, columns // w

    def _new_layout(self) -> Layout:
        torch.manual_seed(self.configuration.seed)
        shape = self.configuration.networks.layout
        assert shape is not None  # of the configuration
        return Layout(LayoutSize(condition=CONDITION, **dict(shape)), self.latent_shape)

    def _new_generator(self) -> Generator:
        torch.manual_seed(self.configuration.seed)
        shape = self.configuration.networks.generator
        assert shape is not None  # of the configuration
        size = MarSize(latent=self.latent_shape, condition=CONDITION, **dict(shape))
        settings = self.configuration.stages.generator
        assert settings is not None  # of the configuration
        head = FlowHead(size.head) if settings.head == "flow" else DiffusionHead(size.head)
        return Generator(size, head)

    def _weights(self, stage: str) -> dict[str, Tensor]:
        file = self.folder / stage / WEIGHTS
        if not file.exists():
            raise UnusableData(f"stage {stage} is not finished: run cardionets train {stage} first")
        return load_file(file)


def _encoder_of(aligned: dict[str, Tensor]) -> dict[str, Tensor]:
    """The ECG encoder's weights, without its projection into the shared space."""
    ecg = _under("ecg.", aligned)
    return {name: value for name, value in ecg.items() if not name.startswith("head.")}


def _under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with the prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def _check_cohort(found: Statement, wanted: CohortSizes) -> None:
    sizes = (found.seed, found.test, found.calibration, found.train, found.cines)
    cines = wanted.test_cines + wanted.train_cines
    same = sizes == (wanted.seed, wanted.test, wanted.calibration, wanted.train, cines)
    if not same or wanted.test_digest not in (None, found.test_digest):
        raise UnusableData(
            "the folder holds another training set than the configured cohort: choose another "
            f"folder, or remove its {DATA}/ and train anew"
        )
