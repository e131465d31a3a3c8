"""The flow head: its line, its solvers, and that it learns a distribution."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from pipelines.cardionets.denoiser import Guidance, HeadSize
from pipelines.cardionets.export import export_graph, largest_difference
from pipelines.cardionets.flow import FlowHead
from pipelines.flow_path import TIME_SCALE, Solver

SIZE = HeadSize(token=2, condition=3, width=64, depth=2)


class _Field(nn.Module):
    """A velocity given by a formula, in the network's place."""

    def __init__(self, velocity: object) -> None:
        super().__init__()
        self.velocity = velocity

    def guided(self, x: Tensor, t: Tensor, z: Tensor, guidance: object) -> Tensor:
        return self.velocity(x, t[:, None] / TIME_SCALE)  # type: ignore[operator]

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return self.velocity(x, t[:, None] / TIME_SCALE)  # type: ignore[operator]


def _head(velocity: object) -> FlowHead:
    head = FlowHead(SIZE)
    head.net = _Field(velocity)  # type: ignore[assignment]
    return head


def test_the_loss_is_nought_for_the_velocity_of_the_line_from_noise_to_token() -> None:
    tokens, noise = torch.randn(5, 2), torch.randn(5, 2)
    t = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    head = _head(lambda x, _: tokens - noise)
    assert torch.equal(head.loss(tokens, torch.zeros(5, 3), t, noise), torch.zeros(5))


def test_the_loss_sees_noise_at_the_start_and_the_token_at_the_end() -> None:
    tokens, noise, seen = torch.randn(2, 2), torch.randn(2, 2), []
    head = _head(lambda x, _: seen.append(x) or x)
    head.loss(tokens, torch.zeros(2, 3), torch.tensor([0.0, 1.0]), noise)
    torch.testing.assert_close(seen[0], torch.stack([noise[0], tokens[1]]))


@pytest.mark.parametrize(
    ("solver", "token"),
    [(Solver.EULER, 1 + 1), (Solver.HEUN, 1 + (1 + 2 * 2) / 2), (Solver.MIDPOINT, 1 + 1.5 * 1.5)],
)
def test_one_step_from_one_along_x_times_one_plus_t(solver: Solver, token: float) -> None:
    head = _head(lambda x, t: x * (1.0 + t))
    drawn = head.sample(torch.zeros(1, 3), torch.ones(1, 1, 2), steps=1, solver=solver)
    torch.testing.assert_close(drawn, torch.full((1, 2), float(token)))


@pytest.mark.parametrize(
    ("solver", "order"), [(Solver.EULER, 1), (Solver.HEUN, 2), (Solver.MIDPOINT, 2)]
)
def test_halving_the_step_divides_the_error_by_two_to_the_solver_s_order(
    solver: Solver, order: int
) -> None:
    head = _head(lambda x, t: x * (1.0 + t))  # x(1) = x(0) * exp(3/2)
    noise = torch.ones(1, 1, 2, dtype=torch.float64)
    z = torch.zeros(1, 3, dtype=torch.float64)
    errors = [
        (head.sample(z, noise, steps=steps, solver=solver)[0, 0] - math.exp(1.5)).abs().item()
        for steps in (32, 64)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_guidance_of_one_is_none_and_beyond_one_leads_away_from_the_null() -> None:
    torch.manual_seed(0)
    head = FlowHead(SIZE).eval()
    nn.init.normal_(head.net.final_layer.linear.weight)
    nn.init.normal_(head.net.final_layer.adaLN_modulation[1].weight, std=0.1)
    z, null, noise = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 1, 2)
    draw = partial(head.sample, steps=1)
    with torch.inference_mode():
        plain, without = draw(z, noise), draw(null, noise)
        same = draw(z, noise, Guidance(null, 1.0))
        beyond = draw(z, noise, Guidance(null, 3.0))
    torch.testing.assert_close(same, plain)
    torch.testing.assert_close(beyond, without + 3.0 * (plain - without))


def test_it_learns_a_gaussian_whose_mean_z_says() -> None:
    torch.manual_seed(0)
    head = FlowHead(SIZE)
    spread = torch.tensor([0.5, 0.2])
    optimiser = torch.optim.Adam(head.parameters(), lr=3e-3)
    for _ in range(400):
        z = torch.randn(256, 3)
        tokens = z[:, :2] + spread * torch.randn(256, 2)
        loss = head.loss(tokens, z, torch.rand(256), torch.randn(256, 2)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    z = torch.tensor([0.8, -0.6, 0.0]).expand(4000, -1)
    with torch.inference_mode():
        drawn = head.sample(z, torch.randn(4000, 1, 2), steps=8, solver=Solver.MIDPOINT)
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([0.8, -0.6]), atol=0.1, rtol=0.0)
    torch.testing.assert_close(drawn.std(dim=0), spread, atol=0.1, rtol=0.0)


def test_the_exported_velocity_gives_what_torch_gives() -> None:
    torch.manual_seed(0)
    network = FlowHead(SIZE).net.eval()
    nn.init.normal_(network.final_layer.linear.weight)
    inputs = {"x": torch.randn(4, 2), "t": torch.rand(4) * TIME_SCALE, "z": torch.randn(4, 3)}
    graph = export_graph(network, inputs, ["velocity"])
    assert largest_difference(network, graph, inputs, ["velocity"]) < 1e-4
