"""The alignment's loss and its gradients are the published ones, and hold where those broke."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from pipelines.cardionets.alignment import negative_weights, weighted_infonce


def align(case: dict[str, Tensor]) -> dict[str, Tensor]:
    ecg, cmr = case["ecg"].requires_grad_(), case["cmr"].requires_grad_()
    weights = negative_weights(case["phi"], case["sigma"].item())
    loss = weighted_infonce(ecg, cmr, weights, case["tau"].item())
    gradients = torch.autograd.grad(loss.total, [ecg, cmr])
    return {
        "weight": weights,
        "loss_e2c": loss.ecg_to_cmr[None],
        "loss_c2e": loss.cmr_to_ecg[None],
        "loss": loss.total[None],
        "grad_ecg": gradients[0],
        "grad_cmr": gradients[1],
    }


def test_every_recorded_weight_loss_and_gradient_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    """But for the supervised-contrastive option: off in the published run, and not implemented."""
    vectors = load_file(vectors_folder / "infonce.vectors.safetensors")
    given = {}
    for name in "abc":
        prefix = f"input.{name}."
        case = {k.removeprefix(prefix): v for k, v in vectors.items() if k.startswith(prefix)}
        given |= {f"{name}.{key}": value for key, value in align(case).items()}
    option = frozenset({"a.loss_with_supcon_eps0.28"})
    assert_reproduced("infonce", "infonce.vectors.safetensors", given, count=18, left_out=option)


def test_with_all_weights_one_it_is_plain_infonce() -> None:
    ecg, cmr = torch.randn(8, 16), torch.randn(8, 16)
    similarity = functional.normalize(ecg, dim=1) @ functional.normalize(cmr, dim=1).T / 0.05
    loss = weighted_infonce(ecg, cmr, torch.ones(8, 8))
    plain = functional.cross_entropy(similarity, torch.arange(8))
    assert torch.allclose(loss.ecg_to_cmr, plain, atol=1e-6)


def test_hearts_that_are_the_same_are_not_pushed_apart() -> None:
    weights = negative_weights(torch.ones(4, 128))
    ecg = torch.randn(4, 16, requires_grad=True)
    loss = weighted_infonce(ecg, torch.randn(4, 16), weights).total
    loss.backward()
    assert weights.abs().max() == 0 and loss == 0
    assert ecg.grad is not None and ecg.grad.abs().max() == 0


def test_a_low_temperature_neither_overflows_nor_divides_by_zero() -> None:
    """e^(1/0.005) is beyond float32."""
    ecg = torch.randn(6, 16, requires_grad=True)
    loss = weighted_infonce(ecg, -ecg.detach(), torch.ones(6, 6), 0.005).total
    loss.backward()
    assert loss.isfinite() and loss > 100
    assert ecg.grad is not None and ecg.grad.isfinite().all()
