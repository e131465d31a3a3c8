"""The loop over the sampler's graphs: places, noise, guidance, time, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from node.domain.errors import Interrupted
from pipelines.cine_sampler import DrawnCines, decode
from pipelines.contract import unwatched
from pipelines.runtime import Feed, Tensor
from pipelines.sampler import Chance, Sampler, unpatchify
from pipelines.sampler_spec import SamplerSpec

Answer = Callable[[Feed], dict[str, NDArray[np.float32]]]
FLOW = {"kind": "flow", "steps": 1, "solver": "euler"}
GRID = (2, 2, 2)


@dataclass(slots=True, kw_only=True)
class Graph:
    """A session whose answer is a formula, and that remembers what it was asked."""

    answer: Answer
    asked: list[Feed] = field(default_factory=list)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def run(self, inputs: Feed) -> dict[str, NDArray[np.float32]]:
        self.asked.append(inputs)
        return self.answer(inputs)


def _spec(**changes: Any) -> SamplerSpec:
    stated = {
        "kind": "masked-autoregressive",
        "latent": (1, 2, 2, 4),
        "patch": (1, 1, 2),
        "tokens": 8,
        "token_values": 2,
        "decoding": "all",
        "ar_steps": 3,
        "head": FLOW,
        "guidance": {"scale": 1.0, "schedule": "constant"},
        "temperature": 1.0,
        "samples": 2,
        "shown": "sample",
    }
    return SamplerSpec.model_validate(stated | changes)


def _place_is_the_token(spec: SamplerSpec) -> Sampler:
    """z is the place; the head's velocity leads from any noise to (z, z + 0.5) in one step."""

    def trunk(inputs: Feed) -> dict[str, NDArray[np.float32]]:
        place = inputs["masked"].astype(np.float32)
        without = 100.0 * inputs["dropped"].astype(np.float32)[:, None]
        return {"z": np.stack([place + without, place + without + 0.5], axis=2)}

    def head(inputs: Feed) -> dict[str, NDArray[np.float32]]:
        return {"estimate": np.asarray(inputs["z"] - inputs["x"], np.float32)}

    def decoder(inputs: Feed) -> dict[str, NDArray[np.float32]]:
        return {"frames": np.asarray(inputs["latent"][:, 0], np.float32)}

    return Sampler(
        spec=spec, trunk=Graph(answer=trunk), head=Graph(answer=head), decoder=Graph(answer=decoder)
    )


CONDITION = np.zeros((1, 3), np.float32)


@pytest.mark.parametrize("decoding", ["all", "next"])
@pytest.mark.parametrize("ar_steps", [1, 3, 8])
def test_every_place_is_drawn_once_and_put_where_it_belongs(decoding: str, ar_steps: int) -> None:
    spec = _spec(decoding=decoding, ar_steps=ar_steps)
    latents = _place_is_the_token(spec).latents(CONDITION, Chance.seeded(spec, "a"))
    # Raster order over frames, rows, columns; a token is two neighbours of one row.
    row = np.repeat(np.arange(8.0), 2) + np.tile([0.0, 0.5], 8)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents, np.stack([row.reshape(1, 2, 2, 4)] * 2), atol=1e-5)


@pytest.mark.parametrize("decoding", ["all", "next"])
def test_the_trunk_sees_what_is_known_in_the_order_drawn_and_is_asked_for_the_rest_or_the_next(
    decoding: str,
) -> None:
    spec = _spec(decoding=decoding)
    sampler, chance = _place_is_the_token(spec), Chance.seeded(spec, "a")
    sampler.latents(CONDITION, chance)
    done = 0
    assert isinstance(sampler.trunk, Graph)
    for asked, count in zip(sampler.trunk.asked, spec.schedule.drawn, strict=True):
        assert np.array_equal(asked["known"], chance.order[:, :done])
        expected = chance.order[:, done : done + count if decoding == "next" else None]
        assert np.array_equal(asked["masked"], expected)
        assert np.allclose(asked["tokens"][:, :, 0], chance.order[:, :done], atol=1e-5)
        assert asked["tokens"].shape == (2, done, 2)
        done += count
    assert done == 8


def test_each_place_has_its_own_noise_whatever_the_order() -> None:
    spec = _spec()
    sampler, chance = _place_is_the_token(spec), Chance.seeded(spec, "a")
    sampler.latents(CONDITION, chance)
    assert isinstance(sampler.head, Graph)
    done = 0
    for asked, count in zip(sampler.head.asked, spec.schedule.drawn, strict=True):
        places = chance.order[:, done : done + count]
        expected = [chance.noise[k, place, 0] for k in range(2) for place in places[k]]
        assert np.array_equal(asked["x"], np.stack(expected))
        done += count


def test_guidance_goes_from_without_the_condition_beyond_with_it() -> None:
    """With it the token is its place, without it 100 more: 100 − 3 · 100 = −200 more."""
    spec = _spec(guidance={"scale": 3.0, "schedule": "constant"}, samples=1)
    latents = _place_is_the_token(spec).latents(CONDITION, Chance.seeded(spec, "a"))
    np.testing.assert_allclose(latents[0, 0, :, :, ::2].ravel(), np.arange(8.0) - 200.0, atol=1e-3)


def test_linear_guidance_begins_near_none_and_grows() -> None:
    """floor(8 cos 30°) = 6 stay masked after the first step: 1 + 2 · (8 − 6) / 8 = 1.5; then 1."""
    spec = _spec(guidance={"scale": 3.0, "schedule": "linear"})
    scales = spec.scales()
    assert scales is not None
    assert scales[0] == 1.5 and scales[-1] == 1.0 + 2.0 * 7 / 8
    assert scales == tuple(sorted(scales))


def test_the_flow_is_followed_in_the_unit_the_head_was_taught() -> None:
    spec = _spec(head={"kind": "flow", "steps": 2, "solver": "heun"}, ar_steps=1, samples=1)
    sampler = _place_is_the_token(spec)
    sampler.latents(CONDITION, Chance.seeded(spec, "a"))
    assert isinstance(sampler.head, Graph)
    times = [float(asked["t"][0]) for asked in sampler.head.asked]
    assert times == [0.0, 500.0, 500.0, 1000.0]


def test_order_and_noise_follow_from_the_identity_alone() -> None:
    spec = _spec()
    one, again, other = (Chance.seeded(spec, "ecg", text) for text in ("a", "a", "b"))
    assert one.noise.tobytes() == again.noise.tobytes()
    assert one.order.tobytes() == again.order.tobytes()
    assert not np.array_equal(one.noise, other.noise)
    assert np.array_equal(np.sort(one.order, axis=1), np.stack([np.arange(8)] * 2))
    assert not np.array_equal(one.noise[0], one.noise[1])


def test_a_sample_is_the_same_however_many_there_are() -> None:
    few, many = (Chance.seeded(_spec(samples=n), "a") for n in (2, 5))
    assert np.array_equal(few.noise, many.noise[:2]) and np.array_equal(few.order, many.order[:2])


@pytest.mark.parametrize(("shown", "drawn"), [("sample", 1), ("mean", 2)])
def test_no_more_samples_are_drawn_than_are_shown(shown: str, drawn: int) -> None:
    sampler = _place_is_the_token(_spec(samples=2, shown=shown))
    frames = sampler.shown(CONDITION, "a").mean
    assert isinstance(sampler.decoder, Graph)
    assert len(sampler.decoder.asked) == drawn
    every = sampler.samples(CONDITION, "a").samples
    assert frames.tobytes() == every[:drawn].mean(axis=0).tobytes()


def test_a_drawing_says_how_far_it_is_and_ends_where_its_watcher_says_so() -> None:
    spec = _spec(ar_steps=3, samples=2, shown="mean")
    sampler, shares = _place_is_the_token(spec), list[float]()
    sampler.shown(CONDITION, "a", watch=shares.append)
    assert len(shares) == 3 + 2
    assert shares == sorted(shares)
    assert shares[0] == 0.0
    assert shares[-1] < 1.0

    def stop(share: float) -> None:
        if share > 0.0:
            raise Interrupted("the node is being stopped")

    stopped = _place_is_the_token(spec)
    with pytest.raises(Interrupted):
        stopped.shown(CONDITION, "a", watch=stop)
    assert isinstance(stopped.trunk, Graph)
    assert len(stopped.trunk.asked) == 1


def test_the_noise_is_standard_normal() -> None:
    spec = _spec(head={"kind": "diffusion", "steps": 1000}, samples=8)
    noise = Chance.seeded(spec, "a").noise.ravel()  # 128 000 numbers
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.var() - 1.0) < 5 * np.sqrt(2 / noise.size)


def test_pixels_are_moved_from_minus_one_to_one_and_cut_there() -> None:
    spec = _spec()
    latents = np.full((2, 1, 2, 2, 4), 0.5, np.float32)
    latents[0, 0, 0], latents[0, 0, 1] = -3.0, 3.0
    samples = decode(_place_is_the_token(spec).decoder, latents, unwatched)
    assert [float(samples[0, 0, 0, 0]), float(samples[0, 1, 0, 0])] == [0.0, 1.0]
    assert float(samples[1, 0, 0, 0]) == 0.75


def test_mean_and_spread_are_those_of_every_pixel() -> None:
    """Of 0.2 and 0.6: 0.4, and 0.2 to either side."""
    samples = np.stack([np.full((2, 1, 1), value, np.float32) for value in (0.2, 0.6)])
    drawn = DrawnCines(samples=samples)
    np.testing.assert_allclose(drawn.mean, np.full((2, 1, 1), 0.4), atol=1e-6)
    np.testing.assert_allclose(drawn.spread, np.full((2, 1, 1), 0.2), atol=1e-6)


def test_a_preset_changes_what_it_says_and_leaves_the_rest() -> None:
    preset = {"description": "fewer steps", "ar_steps": 1, "head_steps": 2, "guidance": 2.0}
    spec = _spec(presets={"fast": preset, "steady": {"description": "mean", "shown": "mean"}})
    changed = spec.with_preset("fast")
    assert (changed.ar_steps, changed.head.steps, changed.guidance.scale) == (1, 2, 2.0)
    assert (changed.samples, changed.shown, changed.head.solver) == (2, "sample", spec.head.solver)
    assert spec.with_preset("steady").shown == "mean"
    sampler = _place_is_the_token(spec).with_preset("fast")
    sampler.shown(CONDITION, "a")
    assert isinstance(sampler.trunk, Graph)
    assert len(sampler.trunk.asked) == 1


def test_the_sizes_of_the_graphs_hold_every_preset() -> None:
    more = {"description": "more", "samples": 16, "shown": "mean"}
    assert _spec().sizes["samples"].most == 2 * 2
    assert _spec(presets={"more": more}).sizes["samples"].most == 2 * 16
    assert _spec(presets={"more": more}).sizes["rows"].most == 2 * 16 * 8


def test_channels_of_a_patch_stand_before_its_places() -> None:
    spec = _spec(latent=(2, 1, 1, 2), patch=(1, 1, 2), tokens=1, token_values=4, ar_steps=1)
    latent = unpatchify(np.arange(4, dtype=np.float32).reshape(1, 1, 4), spec)
    assert latent[0, :, 0, 0].tolist() == [[0.0, 1.0], [2.0, 3.0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent": (1, 2, 2, 3)}, "whole number of patches"),
        ({"tokens": 7}, "make 8 tokens, not 7"),
        ({"token_values": 3}, "has 2 values, a token 3"),
        ({"ar_steps": 9}, "each step draws one at least"),
        ({"head": {"kind": "flow", "steps": 4}}, "a flow head has a solver"),
        ({"head": FLOW | {"kind": "diffusion", "steps": 4}}, "a diffusion head has none"),
        ({"head": {"kind": "diffusion", "steps": 1}}, "at least 2 steps"),
        ({"temperature": 0.9}, "with a flow it must be 1"),
        ({"guidance": {"scale": 0.5, "schedule": "constant"}}, "greater than or equal to 1"),
        ({"samples": 1, "shown": "mean"}, "more than one"),
        ({"presets": {"fast": {"description": "less", "ar_steps": 9}}}, "each step draws one"),
        ({"presets": {"fast": {"description": "less", "shown": "expected"}}}, "'sample' or 'mean'"),
        ({"presets": {"FAST": {"description": "less"}}}, "should match pattern"),
        ({"presets": {"fast": {"ar_steps": 1}}}, "description"),
        ({"samples": 0}, "greater than or equal to 1"),
        ({"kind": "autoregressive"}, "masked-autoregressive"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        _spec(**changes)
