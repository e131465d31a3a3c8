"""The generator with the diffusion head: equal to the published one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.export import export_graph, largest_difference
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import (
    PUBLISHED,
    Generator,
    MarSize,
    at_places,
    patchify,
    unpatchify,
)
from pipelines.noise_schedule import NoiseSchedule
from tests.unit.cardionets.published_generator import TINY, PublishedGenerator
from tests.unit.cardionets.recorded import (
    assert_all_equal,
    assert_published_state,
    first_different_layer,
    recorded,
)

ROUNDING = 1e-11
"""Double precision; the largest value recorded is 246, the largest difference seen 1e-12."""


@pytest.fixture(scope="module")
def single(vectors_folder: Path) -> PublishedGenerator:
    return PublishedGenerator(vectors_folder, torch.float32)


def test_every_recorded_output_of_the_published_generator_is_reproduced(
    single: PublishedGenerator, vectors_folder: Path, tolerances: dict[str, dict[str, Any]]
) -> None:
    expected = recorded(vectors_folder, "mar.tiny.vectors", "expected")
    atol = {key: tolerances[f"mar|expected.{key}"]["suggested_atol"] for key in expected}
    assert_all_equal(single.outputs(), expected, atol)
    assert len(expected) == 93


def test_in_double_precision_chains_and_drawings_equal_the_reference_to_rounding(
    vectors_folder: Path,
) -> None:
    everything = recorded(vectors_folder, "mar.tiny.vectors_f64", "expected")
    expected = {key: t for key, t in everything.items() if not key.startswith("e2e.")}
    found = PublishedGenerator(vectors_folder, torch.float64).outputs()
    assert_all_equal(
        {key: found[key] for key in expected}, expected, dict.fromkeys(expected, ROUNDING)
    )
    assert len(expected) == 40


def test_every_layer_of_the_generator_gives_the_statistics_of_the_reference(
    single: PublishedGenerator, vectors_folder: Path
) -> None:
    def run() -> None:
        single.trunk_of("given")
        single.network.diffloss.net(*(single.given[f"net.{key}"] for key in "xtc"))

    with torch.inference_mode():
        found = first_different_layer(
            single.network,
            vectors_folder,
            "mar",
            run,
            apart={"z_proj", "z_proj_ln"},  # the reference gives them masked tokens too
        )
    assert found == (None, 73)


def test_the_published_generator_has_the_state_of_the_published_file(vectors_folder: Path) -> None:
    with torch.device("meta"):
        network = Generator(PUBLISHED, DiffusionHead(PUBLISHED.head))
    assert_published_state(network, vectors_folder, "mar")
    assert sum(each.numel() for each in network.parameters()) == 194_024_896


def test_noise_schedules_and_autoregressive_schedules_are_the_reference_s(
    vectors_folder: Path,
) -> None:
    tables = load_file(vectors_folder / "diffusion_tables.safetensors")
    schedules = {
        "train1000": NoiseSchedule.cosine(),
        "gen100": NoiseSchedule.respaced(100),
        "gen10": NoiseSchedule.respaced(10),
    }
    compared = 0
    for key, table in tables.items():
        name, *rest = key.split(".")
        if name == "ar":
            tokens, steps = map(int, rest[0].split("_"))
            schedule = AutoregressiveSchedule.cosine(tokens, steps)
            part = {"masked_after_step": 1, "predicted_in_step": 0}[rest[1]]
            assert list(schedule[part]) == table.tolist(), key
        else:
            ours = torch.from_numpy(getattr(schedules[name], rest[0]))
            assert ours.dtype == table.dtype, key
            torch.testing.assert_close(ours, table, rtol=1e-12, atol=0.0, msg=key)
        compared += 1
    assert compared == 32


@given(tokens=st.integers(1, 400), steps=st.integers(1, 80))
@settings(deadline=None)
def test_the_steps_draw_every_token_exactly_once(tokens: int, steps: int) -> None:
    schedule = AutoregressiveSchedule.cosine(tokens, steps)
    assert len(schedule.drawn) == steps
    assert sum(schedule.drawn) == tokens
    assert min(schedule.drawn) >= (1 if steps <= tokens else 0)


@given(
    patch=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    grid=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    channels=st.integers(1, 3),
)
@settings(deadline=None)
def test_patches_put_together_are_the_latent(
    patch: tuple[int, int, int], grid: tuple[int, int, int], channels: int
) -> None:
    t, h, w = (p * g for p, g in zip(patch, grid, strict=True))
    size = _size(latent=(channels, t, h, w), patch=patch)
    latent = torch.arange(2 * channels * t * h * w).reshape(2, channels, t, h, w)
    tokens = patchify(latent, size)
    assert tokens.shape == (2, size.tokens, size.token)
    assert torch.equal(unpatchify(tokens, size), latent)
    first = latent[:, :, : patch[0], : patch[1], : patch[2]].flatten(1)
    assert torch.equal(tokens[:, 0], first)


def test_a_latent_that_is_no_whole_number_of_patches_is_refused() -> None:
    with pytest.raises(ValueError, match="whole number of patches"):
        _size(latent=(2, 7, 4, 4), patch=(5, 2, 2))


def test_z_of_a_place_does_not_depend_on_the_order_places_are_given_in(
    single: PublishedGenerator,
) -> None:
    tokens, condition = patchify(single.given["latent"], TINY), single.given["condition"]
    shuffled = torch.stack([torch.randperm(18, generator=_seed(row)) for row in range(2)])
    known, masked = shuffled[:, :7], shuffled[:, 7:]
    ordered_known, ordered_masked = known.sort(dim=1).values, masked.sort(dim=1).values
    with torch.inference_mode():
        published = single.network(
            at_places(tokens, ordered_known), ordered_known, ordered_masked, condition, single.kept
        )
        ours = single.network(at_places(tokens, known), known, masked, condition, single.kept)
    torch.testing.assert_close(
        at_places(ours, masked.argsort(dim=1)), published, atol=1e-5, rtol=0.0
    )


@pytest.mark.parametrize("next_only", [False, True])
@pytest.mark.parametrize("head", [DiffusionHead, FlowHead])
@pytest.mark.parametrize("steps", [1, 3, 12])
def test_either_head_draws_every_place_once_with_its_own_noise(
    head: type[DiffusionHead] | type[FlowHead], next_only: bool, steps: int
) -> None:
    torch.manual_seed(0)
    size = _size(latent=(2, 2, 4, 4), patch=(1, 2, 2))
    network = Generator(size, head(size.head)).eval()
    order = torch.stack([torch.randperm(8), torch.randperm(8)])
    draws = 4 if head is DiffusionHead else 1
    drawn = []
    with torch.inference_mode():
        for step in network.draw(
            torch.randn(2, 3),
            order,
            torch.randn(2, 8, draws, 8),
            partial(network.diffloss.sample, steps=4),
            schedule=AutoregressiveSchedule.cosine(8, steps),
            scales=(2.0,) * steps,
            next_only=next_only,
        ):
            drawn.append(step)
    assert torch.equal(torch.cat([step.places for step in drawn], dim=1), order)
    latent = network.assemble(drawn)
    assert latent.shape == (2, 2, 2, 4, 4)
    tokens = torch.cat([step.tokens for step in drawn], dim=1)
    assert torch.equal(at_places(patchify(latent, size), order), tokens)


def test_one_exported_trunk_serves_every_step_from_nothing_known_to_the_last_token() -> None:
    torch.manual_seed(0)
    size = _size(latent=(2, 2, 4, 4), patch=(1, 2, 2))
    network = Generator(size, FlowHead(size.head)).eval()
    order = torch.randperm(8)[None]

    def inputs(known: int, masked: int) -> dict[str, Tensor]:
        return {
            "tokens": torch.randn(1, known, 8),
            "known": order[:, :known],
            "masked": order[:, known : known + masked],
            "condition": torch.randn(1, 3),
            "dropped": torch.tensor([known % 2 == 0]),
        }

    graph = _export_of_any_count(network, inputs(3, 4))
    for known, masked in ((0, 8), (0, 1), (1, 7), (5, 2), (7, 1)):
        given_now = inputs(known, masked)
        assert largest_difference(network, graph, given_now, ["z"]) < 1e-4


def _export_of_any_count(network: Generator, example: dict[str, Tensor]) -> bytes:
    known, masked = torch.export.Dim("known", min=0), torch.export.Dim("masked", min=1)
    places = {1: known}
    return export_graph(
        network, example, ["z"], {"tokens": places, "known": places, "masked": {1: masked}}
    )


def _seed(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)


def _size(*, latent: tuple[int, int, int, int], patch: tuple[int, int, int]) -> MarSize:
    return MarSize(
        latent=latent,
        patch=patch,
        condition=3,
        buffer=2,
        width=16,
        heads=2,
        encoder_depth=1,
        decoder_depth=1,
        mlp=32,
        head_width=16,
        head_depth=1,
    )
