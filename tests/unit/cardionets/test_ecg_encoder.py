"""The ECG encoder gives what the published one gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from pipelines.cardionets.ecg_encoder import PUBLISHED, EcgEncoder, EcgEncoderSize
from pipelines.cardionets.heads import disease_head, phenotype_head, projection_head

TINY = EcgEncoderSize(seq_len=300, patch=75, width=32, depth=2, heads=2, dim_head=16, mlp=64)


def load(folder: Path, name: str, head: nn.Module) -> tuple[EcgEncoder, dict[str, Tensor]]:
    encoder = EcgEncoder(TINY, head).eval()
    encoder.load_state_dict(load_file(folder / f"{name}.tiny.safetensors"), strict=True)
    return encoder, load_file(folder / f"{name}.tiny.vectors.safetensors")


def run(encoder: EcgEncoder, ecg: Tensor) -> dict[str, Tensor]:
    latent = encoder.latent(ecg)
    return {
        "latent": latent,
        "feature": encoder.feature(latent),
        "projection": encoder(ecg),
    }


def test_every_recorded_tensor_of_the_encoder_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    encoder, vectors = load(vectors_folder, "ecg", projection_head(32, 24))
    ecg = vectors["input.ecg"]
    with torch.inference_mode():
        embedded = encoder.embed(ecg)
        tokens = encoder.tokens(embedded)
        first = encoder.get_submodule("block0")(tokens)
        whole = run(encoder, ecg)
        probe = encoder.get_submodule("block0")(vectors["input.probe.block0"])
        crops = encoder(vectors["input.crops"].flatten(0, 1)).unflatten(0, (2, 3))
        given = whole | {
            "patch_embedding": embedded,
            "tokens_in": tokens,
            "block0": first,
            "block1": encoder.get_submodule("block1")(first),
            "pooled": whole["latent"].mean(dim=(1, 2)),
            "projection_normalized": functional.normalize(whole["projection"], dim=1),
            "crops.projection_mean": crops.mean(dim=1),
            "probe.block0": probe,
            "probe.norm": encoder.norm(vectors["input.probe.block0"]),
            **{f"short.{k}": v for k, v in run(encoder, vectors["input.short"]).items()},
            **{f"small.{k}": v for k, v in run(encoder, vectors["input.small"]).items()},
        }
    assert_reproduced("ecg", "ecg.tiny.vectors.safetensors", given, count=18)


def test_every_recorded_phenotype_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    encoder, vectors = load(vectors_folder, "ecg_phenotype", phenotype_head(32))
    ecg = vectors["input.ecg"]
    with torch.inference_mode():
        given = {"feature": encoder.feature(encoder.latent(ecg)), "phenotypes": encoder(ecg)}
    assert_reproduced("ecg_phenotype", "ecg_phenotype.tiny.vectors.safetensors", given, count=2)


def test_every_recorded_disease_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    encoder, vectors = load(vectors_folder, "ecg_disease", disease_head(32))
    with torch.inference_mode():
        logit = encoder(vectors["input.ecg"])
        crops = encoder(vectors["input.crops"].flatten(0, 1)).unflatten(0, (2, 3))
    given = {
        "logit": logit,
        "probability": logit.sigmoid(),
        "crops.logit": crops,
        "crops.logit_mean": crops.mean(dim=1),
        "crops.probability": crops.mean(dim=1).sigmoid(),
    }
    assert_reproduced("ecg_disease", "ecg_disease.tiny.vectors.safetensors", given, count=5)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("ecg_encoder", projection_head),
        ("ecg_phenotype", phenotype_head),
        ("ecg_disease", disease_head),
    ],
)
def test_the_published_size_has_the_published_tensors(
    name: str,
    head: Callable[[int], nn.Module],
    assert_published_layout: Callable[[str, nn.Module], None],
) -> None:
    with torch.device("meta"):
        encoder = EcgEncoder(PUBLISHED, head(PUBLISHED.width))
    assert_published_layout(name, encoder)


def test_seeing_every_patch_is_the_whole_encoding() -> None:
    encoder, ecg = EcgEncoder(TINY).eval(), torch.randn(2, 12, 300)
    visible = torch.arange(48).expand(2, -1)
    with torch.inference_mode():
        given = encoder.latent_of(ecg, visible)
        assert torch.allclose(given, encoder.latent(ecg).flatten(1, 2), atol=1e-5)


def test_a_short_ecg_sees_its_own_patches() -> None:
    encoder, ecg = EcgEncoder(TINY).eval(), torch.randn(1, 12, 150)
    with torch.inference_mode():
        given = encoder.latent_of(ecg, torch.arange(24)[None])
        assert torch.allclose(given, encoder.latent(ecg).flatten(1, 2), atol=1e-5)


def test_hidden_patches_do_not_reach_the_encoding() -> None:
    encoder, ecg = EcgEncoder(TINY).eval(), torch.randn(1, 12, 300)
    visible = torch.tensor([[0, 5, 21, 47]])
    other = ecg.clone().unflatten(2, (4, 75)).flatten(1, 2)  # (1, 48, 75)
    hidden = [k for k in range(48) if k not in visible[0].tolist()]
    other[:, hidden] = torch.randn(44, 75)
    with torch.inference_mode():
        before = encoder.latent_of(ecg, visible)
        after = encoder.latent_of(other.view(1, 12, 300), visible)
    assert torch.equal(before, after)


def test_a_missing_lead_is_an_error() -> None:
    with pytest.raises(ValueError, match="12 leads, not 1"):
        EcgEncoder(TINY)(torch.randn(1, 1, 300))


def test_a_length_of_broken_patches_is_an_error() -> None:
    with pytest.raises(ValueError, match="whole number of patches"):
        replace(TINY, seq_len=310)


def test_without_the_extension_millivolts_are_lost() -> None:
    """The norm over each patch: twice the voltage is the same patch, but for its eps."""
    encoder, ecg = EcgEncoder(TINY).eval(), torch.randn(1, 12, 300)
    with torch.inference_mode():
        assert torch.allclose(encoder.latent(ecg), encoder.latent(2.0 * ecg), atol=1e-3)


def test_with_the_extension_millivolts_are_seen() -> None:
    encoder = EcgEncoder(replace(TINY, keep_amplitude=True)).eval()
    ecg = torch.randn(1, 12, 300)
    flat = torch.zeros(1, 12, 300)
    with torch.inference_mode():
        assert not torch.allclose(encoder.latent(ecg), encoder.latent(2.0 * ecg), atol=1e-2)
        assert encoder.latent(flat).isfinite().all()


def test_the_extension_only_adds_parameters_of_its_own() -> None:
    plain = EcgEncoder(TINY).state_dict()
    extended = EcgEncoder(replace(TINY, keep_amplitude=True)).state_dict()
    assert set(extended) - set(plain) == {"amplitude.weight", "amplitude.bias"}
    assert set(plain) <= set(extended)


def test_a_flat_patch_does_not_spoil_the_extensions_gradients() -> None:
    encoder = EcgEncoder(replace(TINY, keep_amplitude=True))
    flat = torch.zeros(1, 12, 300, requires_grad=True)
    encoder(flat).square().sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()
