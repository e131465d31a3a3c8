"""The layout sampler over graphs of which every answer can be reckoned by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.layout_sampler import LayoutSampler, seeded_noise
from pipelines.runtime import Tensor
from pipelines.sampler_spec import LayoutSpec

Arrays = dict[str, NDArray[np.float32]]
CONDITION = np.array([[0.25, -0.5]], np.float32)


@dataclass
class _Sum:
    """A layout graph: each value is the sum of the condition and a tenth of the noise's."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def run(self, given: Mapping[str, NDArray[Any]]) -> Arrays:
        level = given["condition"].sum(axis=1) + 0.1 * given["noise"].sum(axis=1)
        return {
            "latent": np.broadcast_to(level[:, None, None, None, None], (len(level), 1, 2, 1, 1))
        }


@dataclass
class _Frames:
    """A decoder: the latent's frames, one pixel each."""

    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def run(self, given: Mapping[str, NDArray[Any]]) -> Arrays:
        return {"frames": given["latent"][:, 0]}


def _spec(**changes: Any) -> LayoutSpec:
    stated = {
        "kind": "layout", "latent": (1, 2, 1, 1), "components": 3, "samples": 4, "shown": "sample",
    }  # fmt: skip
    return LayoutSpec.model_validate(stated | changes)


def _sampler(**changes: Any) -> LayoutSampler:
    return LayoutSampler(spec=_spec(**changes), layout=_Sum(), decoder=_Frames())


def test_a_preset_shows_another_of_its_cines() -> None:
    presets = {
        "mean": {"description": "all of them", "shown": "mean"},
        "more": {"description": "of more", "shown": "mean", "samples": 8},
    }
    sampler = _sampler(presets=presets)
    mean = sampler.with_preset("mean").shown(CONDITION, "ecg", "bundle").mean
    assert mean.tobytes() == _sampler(shown="mean").shown(CONDITION, "ecg", "bundle").mean.tobytes()
    assert sampler.spec.sizes["samples"].most == 8


def test_a_preset_of_a_layout_cannot_change_what_it_lacks() -> None:
    with pytest.raises(ValidationError, match="preset fast changes ar_steps, which a layout lacks"):
        _spec(presets={"fast": {"description": "fewer steps", "ar_steps": 2}})


def test_a_drawing_says_how_far_it_is() -> None:
    shares: list[float] = []
    _sampler(shown="mean").shown(CONDITION, "ecg", "bundle", watch=shares.append)
    assert shares == [0.0, 0.0, 0.25, 0.5, 0.75]


def _shade(latent: float) -> float:
    """-1 … 1 of a decoder to 0 … 1 of a cine."""
    return (min(max(latent, -1.0), 1.0) + 1.0) / 2.0


def test_the_expected_cine_has_no_noise_in_it() -> None:
    frames = _sampler(shown="expected").shown(CONDITION, "ecg", "bundle").mean
    assert frames.shape == (2, 1, 1)
    assert np.allclose(frames, _shade(-0.25))


def test_a_sample_has_its_own_noise_and_the_mean_is_of_all_samples() -> None:
    levels = 0.1 * seeded_noise(_spec(), "ecg", "bundle").sum(axis=1) - 0.25
    shades = [_shade(float(level)) for level in levels]
    assert np.allclose(_sampler().shown(CONDITION, "ecg", "bundle").mean, shades[0])
    shown = _sampler(shown="mean").shown(CONDITION, "ecg", "bundle").mean
    assert np.allclose(shown, np.mean(shades))


def test_same_identity_same_cine_and_another_another() -> None:
    sampler = _sampler()
    first = sampler.shown(CONDITION, "ecg", "bundle").mean.tobytes()
    assert first == sampler.shown(CONDITION, "ecg", "bundle").mean.tobytes()
    assert first != sampler.shown(CONDITION, "other", "bundle").mean.tobytes()
    assert first != sampler.shown(CONDITION, "ecg", "newer bundle").mean.tobytes()


def test_a_sample_is_the_same_however_many_there_are() -> None:
    few, many = (seeded_noise(_spec(samples=n), "ecg") for n in (2, 6))
    assert np.array_equal(few, many[:2])


def test_every_second_sample_mirrors_the_one_before() -> None:
    noise = seeded_noise(_spec(samples=5), "ecg")
    assert np.array_equal(noise[1::2], -noise[:-1:2])
    assert len(np.unique(np.abs(noise), axis=0)) == 3


def test_the_mean_of_few_samples_is_that_of_many_where_nothing_is_clipped() -> None:
    sampler = _sampler(samples=2)
    middle = sampler.samples(CONDITION / 4.0, "ecg", "bundle").mean
    assert np.allclose(
        middle, _sampler(shown="expected").shown(CONDITION / 4.0, "ecg", "bundle").mean
    )


def test_independent_samples_are_those_that_mirror_no_other() -> None:
    cines = _sampler(samples=5).samples(CONDITION, "ecg", "bundle")
    assert np.array_equal(cines.independent, cines.samples[[0, 2, 4]])


def test_independent_noise_is_standard_normal() -> None:
    noise = seeded_noise(_spec(samples=64, components=2000), "ecg")[::2]
    assert abs(float(noise.mean())) < 0.01
    assert float(noise.std()) == pytest.approx(1.0, abs=0.01)


def test_a_mean_of_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="a mean needs more than one"):
        _spec(samples=1, shown="mean")
