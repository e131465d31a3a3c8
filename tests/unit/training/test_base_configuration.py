"""config/training/base.toml: the published size, where it is published."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.cardionets import autoencoder, cmr_encoder, ecg_encoder, generator
from pipelines.cardionets.alignment import SIGMA, TEMPERATURE
from pipelines.cardionets.ecg_to_phenotypes import CONDITION
from pipelines.cardionets.generator import MarSize
from pipelines.cardionets.masked_pretraining import CMR_DECODER, ECG_DECODER
from pipelines.datasets.training_set import FRAMES, SIZE
from pipelines.preprocessing import RECIPES
from pipelines.training.configuration import TrainingConfiguration, read_configuration

BASE = Path(__file__).parents[3] / "config" / "training" / "base.toml"
RECIPE = RECIPES["cardionode-2"]
"""What cardionets prepare conditions with unless told otherwise."""


@pytest.fixture(scope="module")
def base() -> TrainingConfiguration:
    return read_configuration(BASE)


def test_it_is_for_a_set_that_is_there(base: TrainingConfiguration) -> None:
    assert base.cohort is None
    assert base.stages.meter is None
    assert base.sampling.sampler == "generator"


def test_the_ecg_encoder_is_published_but_for_beat_and_millivolts(
    base: TrainingConfiguration,
) -> None:
    size, published = base.networks.ecg_encoder, ecg_encoder.PUBLISHED
    assert replace(size, seq_len=2250, beat_patches=0, keep_amplitude=False) == published
    assert size.seq_len - size.beat_samples == published.seq_len
    assert size.beat_samples == RECIPE.beat_samples
    assert size.seq_len <= RECIPE.window_samples


def test_the_cmr_encoder_is_published_and_takes_the_sets_cines(base: TrainingConfiguration) -> None:
    size = base.networks.cmr_encoder
    assert size == cmr_encoder.PUBLISHED
    assert (size.frames, size.side) == (FRAMES, SIZE)


def test_the_autoencoder_is_published_without_its_adversary(base: TrainingConfiguration) -> None:
    size = base.networks.autoencoder
    assert size == replace(autoencoder.PUBLISHED, discriminator_channels=None)


def test_the_generator_is_published_but_for_what_it_is_told(base: TrainingConfiguration) -> None:
    coder, shape = base.networks.autoencoder, base.networks.generator
    assert shape is not None
    t, h, w = coder.stride
    latent = (coder.latent_channels, FRAMES // t, SIZE // h, SIZE // w)
    size = MarSize(latent=latent, condition=CONDITION, **dict(shape))
    assert size == replace(generator.PUBLISHED, condition=CONDITION)


def test_pretraining_and_alignment_are_published(base: TrainingConfiguration) -> None:
    stages = base.stages
    assert stages.pretrain_ecg.decoder == ECG_DECODER
    assert stages.pretrain_cmr.decoder == CMR_DECODER
    assert (stages.align.sigma, stages.align.temperature) == (SIGMA, TEMPERATURE)
    assert (stages.align.components, stages.align.embedding) == (128, 256)
