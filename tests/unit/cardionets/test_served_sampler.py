"""The sampler over exported graphs draws what the networks draw in torch, and what was recorded."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.export import export_graph, largest_difference
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator
from pipelines.cardionets.heads import projection_head
from pipelines.cardionets.sampler_graphs import (
    OUTPUTS,
    export_sampler,
    sampler_inputs,
    sampler_networks,
)
from pipelines.cine_sampler import decode
from pipelines.contract import unwatched
from pipelines.runtime.onnx import OnnxRuntime
from pipelines.sampler import Chance, Sampler
from pipelines.sampler_spec import SamplerSpec
from tests.unit.cardionets.published_generator import TINY, per_place
from tests.unit.cardionets.recorded import recorded, weights
from tests.unit.cardionets.test_autoencoder import TINY as AUTOENCODER
from tests.unit.cardionets.test_published_pipeline import ECG


def _spec(**changes: Any) -> SamplerSpec:
    stated = {
        "kind": "masked-autoregressive",
        "latent": TINY.latent,
        "patch": TINY.patch,
        "tokens": TINY.tokens,
        "token_values": TINY.token,
        "decoding": "all",
        "ar_steps": 4,
        "head": {"kind": "diffusion", "steps": 10},
        "guidance": {"scale": 3.0, "schedule": "constant"},
        "temperature": 1.0,
        "samples": 2,
        "shown": "sample",
    }
    return SamplerSpec.model_validate(stated | changes)


def _exported(generator: Generator, autoencoder: Autoencoder, folder: Path) -> Sampler:
    """The sampler over ONNX Runtime; each graph is as good as its network."""
    networks = sampler_networks(generator, autoencoder)
    latent = torch.randn(1, *TINY.latent, generator=torch.Generator().manual_seed(0))
    inputs = sampler_inputs(generator, latent, Chance.seeded(_spec(), "example"))
    sessions = {}
    for role, graph in export_sampler(networks, inputs).items():
        assert largest_difference(networks[role], graph, inputs[role], OUTPUTS[role]) < 1e-4
        path = folder / f"{role}.onnx"
        path.write_bytes(graph)
        sessions[role] = OnnxRuntime(threads=1).load(path, {})
    return Sampler(spec=_spec(), **sessions)


def _autoencoder(folder: Path) -> Autoencoder:
    network = Autoencoder(AUTOENCODER)
    network.load_state_dict(weights(folder, "vae.tiny"))
    return network


@pytest.fixture(scope="module")
def published(vectors_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    generator = Generator(TINY, DiffusionHead(TINY.head))
    generator.load_state_dict(weights(vectors_folder, "mar.tiny"))
    return _exported(generator, _autoencoder(vectors_folder), tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def flow(
    vectors_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Sampler, Generator]:
    torch.manual_seed(0)
    generator = Generator(TINY, FlowHead(TINY.head))
    final = generator.diffloss.net.final_layer
    nn.init.normal_(final.linear.weight, std=0.2)
    nn.init.normal_(final.adaLN_modulation[1].weight, std=0.1)
    folder = tmp_path_factory.mktemp("flow")
    return _exported(generator, _autoencoder(vectors_folder), folder), generator


def test_the_recorded_ecg_noise_and_order_give_the_recorded_cine_from_graphs_alone(
    published: Sampler, vectors_folder: Path, tolerances: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    encoder = EcgEncoder(ECG, projection_head(32, 24))
    encoder.load_state_dict(weights(vectors_folder, "ecg.tiny"))
    given, noise, expected = (
        recorded(vectors_folder, "e2e.tiny.vectors", kind)
        for kind in ("input", "noise", "expected")
    )
    path = tmp_path / "ecg.onnx"
    path.write_bytes(export_graph(encoder, {"ecg": given["ecg"]}, ["condition"]))
    ecg = OnnxRuntime(threads=1).load(path, {})
    order = given["orders"].flip(1)  # the reference draws an order from its end
    drawn = published.spec.schedule.drawn
    chance = Chance(
        order=order.numpy(),
        noise=per_place(order, drawn, noise["ar.init"], noise["ar.steps"]).numpy(),
    )
    condition = ecg.run({"ecg": given["ecg"].numpy()})["condition"]
    latent = published.latents(condition, chance)
    cine = 2.0 * decode(published.decoder, latent, unwatched)[:, np.newaxis] - 1.0
    for name, found in (("condition", condition), ("latent", latent), ("cine", cine)):
        limit = tolerances[f"e2e|expected.{name}"]["suggested_atol"]
        assert found.shape == expected[name].shape
        assert np.abs(found - expected[name].numpy()).max() <= limit, name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guidance": {"scale": 1.0, "schedule": "constant"}},
        {"guidance": {"scale": 3.0, "schedule": "linear"}, "temperature": 0.9, "ar_steps": 6},
        {"decoding": "next"},
        {"samples": 1},
    ],
    ids=["constant", "unguided", "linear-cooler", "next", "one"],
)
def test_the_diffusion_sampler_draws_what_torch_draws(
    published: Sampler, vectors_folder: Path, changes: dict[str, Any]
) -> None:
    generator = Generator(TINY, DiffusionHead(TINY.head))
    generator.load_state_dict(weights(vectors_folder, "mar.tiny"))
    spec = _spec(**changes)
    head = partial(generator.diffloss.sample, steps=spec.head.steps, temperature=spec.temperature)
    _assert_drawn_alike(replace(published, spec=spec), generator, head, atol=2e-3)


@pytest.mark.parametrize("solver", ["euler", "heun", "midpoint"])
def test_the_flow_sampler_draws_what_torch_draws(
    flow: tuple[Sampler, Generator], solver: str
) -> None:
    sampler, generator = flow
    spec = _spec(head={"kind": "flow", "steps": 4, "solver": solver})
    head = partial(generator.diffloss.sample, steps=4, solver=spec.head.solver)
    _assert_drawn_alike(replace(sampler, spec=spec), generator, head, atol=1e-4)


def _assert_drawn_alike(sampler: Sampler, generator: Generator, head: Any, atol: float) -> None:
    spec, chance = sampler.spec, Chance.seeded(sampler.spec, "a")
    condition = np.random.default_rng(0).normal(size=(1, TINY.condition)).astype(np.float32)
    with torch.inference_mode():
        steps = generator.eval().draw(
            torch.from_numpy(condition).repeat(spec.samples, 1),
            torch.from_numpy(chance.order),
            torch.from_numpy(chance.noise),
            head,
            schedule=spec.schedule,
            scales=spec.scales(),
            next_only=spec.decoding == "next",
        )
        expected = generator.assemble(list(steps)).numpy()
    found = sampler.latents(condition, chance)
    assert np.abs(found - expected).max() <= atol * max(1.0, np.abs(expected).max())
