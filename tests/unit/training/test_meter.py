"""How the meter is taught: outlines that hold the volumes, and pictures made worse beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter

from node.domain.errors import UnusableData
from pipelines.cardionets.left_ventricle import area_length_ml
from pipelines.cardionets.segmenter import SegmenterSize
from pipelines.cohort.beat import move_chambers
from pipelines.cohort.cine import (
    STANDARD_ACQUISITION,
    outline_left_ventricle,
    paint_cine,
)
from pipelines.cohort.population import simulate_population
from pipelines.cohort.simulation import CohortSizes, population_of, simulate_cohort
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.engine import WEIGHTS, Hardware, train_stage
from pipelines.training.meter import Meter, MeterSettings

SIZES = CohortSizes(seed=7, test=4, calibration=2, train=12, test_cines=2, train_cines=8)
SETTINGS = MeterSettings(
    steps=24, batch=8, learning_rate=5e-3, warm_up=2, checkpoint_every=24, calibration=3
)
TINY = SegmenterSize(channels=8, multipliers=(1, 2), groups=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    return simulate_cohort(tmp_path_factory.mktemp("cohort"), SIZES, lambda _: None)


def meter(data: TrainingSet, **changed: float) -> Meter:
    settings = SETTINGS.model_copy(update=changed)
    return Meter(settings, 1, TINY, data, population_of(data.statement))


def test_outlines_hold_the_volumes_of_every_frame() -> None:
    """The cavity keeps its shape, so area-length volumes are in proportion to the true ones."""
    population = simulate_population(30, seed=5)
    measured, true = [], []
    for subject in range(30):
        beat = move_chambers(population, subject, 50).frames([0, 18])
        share = outline_left_ventricle(population, subject, STANDARD_ACQUISITION, beat, 96)
        measured.append(area_length_ml(share, 1.8)[0])
        true.append(population.lvedv_ml[subject])
        assert share[1].sum() < share[0].sum()
    ratio = np.array(measured) / np.array(true)
    assert ratio.std() / ratio.mean() < 0.01


def test_an_outline_lies_on_bright_blood() -> None:
    population = simulate_population(1, seed=5)
    beat = move_chambers(population, 0, 50).frames([0])
    inside = outline_left_ventricle(population, 0, STANDARD_ACQUISITION, beat, 96)[0] == 1.0
    frame = paint_cine(population, 0, STANDARD_ACQUISITION, frames=50, size=96)[0]
    assert np.median(frame[inside]) > 0.7  # blood is 0.78 of full scale, muscle 0.25


def test_without_spoiling_a_batch_is_what_is_stored(data: TrainingSet) -> None:
    stage = meter(data, mixed=0.0, blur=0.0, noise=0.0, gain=0.0, shift=0)
    batch = stage.batch(3)
    stored = data.cine.reshape(-1, 96, 96).astype(np.float32) / 255.0
    for picture in batch["picture"].numpy():
        assert np.abs(stored - picture).max(axis=(1, 2)).min() < 1e-6
    assert torch.equal(batch["picture"], stage.batch(3)["picture"])


def test_a_shift_moves_picture_and_outline_together(data: TrainingSet) -> None:
    stage = meter(data)
    chance = np.random.Generator(np.random.Philox(1))
    picture = np.stack([gaussian_filter(chance.random((96, 96), np.float32), 2.0)] * 4)
    moved, share = stage._shift(picture, picture.copy(), chance)
    assert np.array_equal(moved, share)
    assert not np.array_equal(moved[0], moved[1])


def test_a_mixture_of_hearts_has_the_mean_of_their_outlines(data: TrainingSet) -> None:
    stage = meter(data, mixed=1.0)
    chance = np.random.Generator(np.random.Philox(2))
    picture = np.zeros((8, 2, 2), np.float32) + np.arange(8, dtype=np.float32)[:, None, None]
    mixed, share = stage._mix(picture, 2.0 * picture, chance)
    assert np.allclose(share, 2.0 * mixed)
    assert np.all(mixed[:4] < 3.0) and np.all(mixed[4:] > 4.0)  # never with another frame's group


def test_it_learns_and_keeps_its_calibration(data: TrainingSet, tmp_path: Path) -> None:
    stage = meter(data, mixed=0.0)
    with torch.no_grad():
        before = stage.loss(stage.batch(10_000)).item()
    train_stage(stage, tmp_path, Hardware(precision="32-true"), progress=False)
    with torch.no_grad():
        assert stage.loss(stage.batch(10_000)).item() < 0.5 * before
    again = meter(data)
    again.meter.load_state_dict(load_file(tmp_path / WEIGHTS))
    assert float(again.meter.slope) == float(stage.meter.slope) != 1.0


def test_real_cines_have_no_outlines_to_learn_from(data: TrainingSet) -> None:
    real = replace(data, statement=data.statement.model_copy(update={"seed": None}))
    with pytest.raises(UnusableData, match="simulated"):
        Meter(SETTINGS, 1, TINY, real, population_of(data.statement))
