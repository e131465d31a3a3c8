"""The layout on a world of known answer: latents that are linear in a condition, plus noise."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipelines.cardionets.layout import Layout, LayoutSize, ServedLayout

LATENT = (2, 2, 3, 3)
VALUES = 36
COMPONENTS, CONDITION, SUBJECTS = 4, 3, 4000


def _world() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Latents (m, c, t, h, w), conditions (m, C), the latents' means, directions of the layout."""
    source = torch.Generator().manual_seed(1)
    conditions = torch.randn(SUBJECTS, CONDITION, generator=source)
    slope = torch.randn(CONDITION, COMPONENTS, generator=source)
    root = torch.randn(COMPONENTS, COMPONENTS, generator=source)
    directions = torch.randn(COMPONENTS, VALUES, generator=source)
    mean = conditions @ slope
    layouts = mean + torch.randn(SUBJECTS, COMPONENTS, generator=source) @ root.T
    return (layouts @ directions).view(-1, *LATENT), conditions, mean @ directions, directions


@pytest.fixture(scope="module")
def world() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _world()


@pytest.fixture(scope="module")
def layout(world: tuple[Tensor, Tensor, Tensor, Tensor]) -> Layout:
    torch.manual_seed(2)
    size = LayoutSize(components=COMPONENTS, condition=CONDITION, width=16, depth=1)
    fitted = Layout(size, LATENT)
    fitted.fit(world[0], world[1][None], penalty=1e-3)
    return fitted.eval()


def test_a_latent_of_as_many_components_comes_back_whole(
    layout: Layout, world: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    latents = world[0]
    assert torch.allclose(layout.latent_of(layout.layout_of(latents)), latents, atol=2e-3)


def test_the_expected_layout_is_the_mean_that_made_the_world(
    layout: Layout, world: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    latents, conditions, mean, _ = world
    found = layout.latent_of(layout.expected(conditions)).flatten(1)
    error = (found - mean).square().mean() / latents.square().mean()
    assert error < 0.01


def test_samples_scatter_as_the_world_does(
    layout: Layout, world: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    """An untrained flow is the Gaussian in closed form: residuals of the draws and of the world."""
    latents, conditions, mean, _ = world
    noise = torch.randn(SUBJECTS, COMPONENTS, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        drawn = ServedLayout(layout, steps=8)(conditions, noise).flatten(1) - mean
    true = latents.flatten(1) - mean
    assert torch.allclose(drawn.T.cov(), true.T.cov(), atol=0.1 * float(true.var(dim=0).max()))


def test_no_noise_gives_the_expected_layout(
    layout: Layout, world: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    conditions = world[1][:5]
    with torch.inference_mode():
        drawn = layout.draw(conditions, torch.zeros(5, COMPONENTS), steps=3)
    assert torch.allclose(drawn, layout.expected(conditions), atol=1e-5)


def test_the_untrained_loss_is_the_gaussian_s(
    layout: Layout, world: tuple[Tensor, Tensor, Tensor, Tensor]
) -> None:
    """Mean over t of 2 - (2t - 1)² / (t² + (1 - t)²), which is π/2."""
    latents, conditions, _, _ = world
    source = torch.Generator().manual_seed(4)
    t = torch.rand(SUBJECTS, generator=source)
    noise = torch.randn(SUBJECTS, COMPONENTS, generator=source)
    with torch.inference_mode():
        loss = layout.loss(layout.layout_of(latents), conditions, t, noise)
    assert float(loss) == pytest.approx(math.pi / 2.0, rel=0.04)


def test_the_flow_learns_what_is_not_gaussian() -> None:
    """Residuals at -1 or 1 in every component: training brings the loss below the Gaussian's."""
    torch.manual_seed(5)
    size = LayoutSize(components=2, condition=1, width=32, depth=2)
    layout = Layout(size, (1, 1, 1, 2))
    signs = torch.randint(0, 2, (2000, 2)).float() * 2.0 - 1.0
    latents, conditions = signs.view(-1, 1, 1, 1, 2), torch.randn(1, 2000, 1)
    layout.fit(latents, conditions, penalty=1.0)
    layouts = layout.layout_of(latents)
    optimiser = torch.optim.Adam(layout.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        loss = layout.loss(layouts, conditions[0], torch.rand(2000), torch.randn(2000, 2))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.pi / 2.0, rel=0.05)
    assert sum(losses[-20:]) / 20.0 < 1.3
