"""Pretraining hides what it says it hides, and learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pipelines.cardionets.cmr_encoder import CmrEncoder, CmrEncoderSize
from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize
from pipelines.cardionets.masked_pretraining import DecoderSize, MaskedPretraining, draw_visible

ECG = EcgEncoderSize(seq_len=300, patch=75, width=32, depth=2, heads=2, dim_head=16, mlp=64)
CMR = CmrEncoderSize(frames=10, side=64, patch=16, width=32, depth=2, heads=2, mlp=64)
Build = Callable[[], tuple[MaskedPretraining, Tensor]]
DECODER = DecoderSize(width=24, depth=1, heads=2, mlp=48, rows_apart=False)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def ecg_pretraining() -> tuple[MaskedPretraining, Tensor]:
    torch.manual_seed(7)
    time = torch.arange(300) / 250.0
    phases = torch.rand(4, 12, 1) * 6.28
    ecg = torch.sin(2 * torch.pi * 2.0 * time + phases)  # (4, 12, 300)
    return MaskedPretraining(EcgEncoder(ECG), replace(DECODER, rows_apart=True)), ecg


def cmr_pretraining() -> tuple[MaskedPretraining, Tensor]:
    torch.manual_seed(7)
    rows = torch.linspace(-1, 1, 64)
    rings = (rows[:, None] ** 2 + rows**2) * 8 + torch.rand(4, 10, 1, 1)
    return MaskedPretraining(CmrEncoder(CMR), DECODER), torch.cos(rings)  # (4, 10, 64, 64)


BOTH = pytest.mark.parametrize("build", [ecg_pretraining, cmr_pretraining])


def test_as_many_patches_are_hidden_as_asked_and_none_is_seen_twice() -> None:
    visible = draw_visible(64, 360, 0.75, generator())
    assert visible.shape == (64, 90)
    assert (visible.diff(dim=1) > 0).all()
    assert visible.min() == 0 and visible.max() == 359


def test_the_generator_alone_decides_what_is_seen() -> None:
    first = draw_visible(4, 48, 0.75, generator())
    torch.manual_seed(1)
    assert torch.equal(first, draw_visible(4, 48, 0.75, generator()))
    assert not torch.equal(first[0], first[1])


def test_something_always_stays_to_be_seen() -> None:
    assert draw_visible(2, 4, 1.0, generator()).shape == (2, 1)


@BOTH
@pytest.mark.parametrize("normalise", [False, True])
def test_training_lowers_the_loss_on_a_fixed_batch(build: Build, normalise: bool) -> None:
    network, signal = build()
    network.normalise_targets = normalise
    visible = draw_visible(4, network.encoder.split(signal).shape[1], 0.5, generator())
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = network.loss(signal, visible)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    assert losses[-1] < 0.7 * losses[0]


@BOTH
def test_the_drawing_does_not_depend_on_hidden_patches(build: Build) -> None:
    network, signal = build()
    visible = torch.tensor([[0, 3, 9]]).expand(4, -1)
    values = network.encoder.split(signal)
    index = torch.arange(signal.numel(), dtype=torch.float64).view_as(signal)
    hidden = network.encoder.split(index)
    keep = torch.zeros(values.shape[1], dtype=torch.bool)
    keep[[0, 3, 9]] = True
    changed = signal.clone().flatten()
    changed[hidden[:, ~keep].flatten().long()] += 1.0
    with torch.inference_mode():
        before = network(signal, visible)
        after = network(changed.view_as(signal), visible)
    assert torch.equal(before, after)


@BOTH
def test_the_loss_looks_at_hidden_patches_alone(build: Build) -> None:
    """The mean squared error, one patch after another."""
    network, signal = build()
    network.normalise_targets = False
    count = network.encoder.split(signal).shape[1]
    visible = draw_visible(4, count, 0.75, generator())
    with torch.inference_mode():
        drawn, real = network(signal, visible), network.encoder.split(signal)
        errors = [
            ((drawn[k, p] - real[k, p]) ** 2).mean()
            for k in range(4)
            for p in range(count)
            if p not in visible[k].tolist()
        ]
        assert torch.allclose(network.loss(signal, visible), torch.stack(errors).mean())


def test_a_lead_is_not_copied_from_its_neighbours() -> None:
    """With leads apart, what the decoder knows of one lead does not reach another's drawing."""
    network, _ = ecg_pretraining()
    every = torch.randn(1, 48, 24)
    other = every.clone()
    other[:, 4:] = 0.0  # all leads but the first
    nothing = torch.empty(1, 0, 24)
    with torch.inference_mode():
        before, after = network._decode(nothing, every), network._decode(nothing, other)
    assert torch.equal(before[:, :4], after[:, :4])


@BOTH
def test_every_parameter_learns_but_the_feature_norm(build: Build) -> None:
    """It stands behind the latent, on the way to a head."""
    network, signal = build()
    network.loss(signal, draw_visible(4, 16, 0.5, generator())).backward()
    idle = [name for name, value in network.named_parameters() if value.grad is None]
    assert idle == ["encoder.norm.weight", "encoder.norm.bias"]
