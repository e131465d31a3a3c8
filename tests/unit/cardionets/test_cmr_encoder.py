"""The CMR encoder gives what the published one gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.cardionets.cmr_encoder import PUBLISHED, CmrEncoder, CmrEncoderSize
from pipelines.cardionets.heads import projection_head

TINY = CmrEncoderSize(frames=10, side=32, patch=16, width=32, depth=2, heads=2, mlp=128)


def test_every_recorded_tensor_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    encoder = CmrEncoder(TINY, projection_head(32, 24)).eval()
    encoder.load_state_dict(load_file(vectors_folder / "cmr.tiny.safetensors"), strict=True)
    vectors = load_file(vectors_folder / "cmr.tiny.vectors.safetensors")
    cine = vectors["input.cine"]
    with torch.inference_mode():
        latent = encoder.latent(cine)
        given = {
            "patch_embed": encoder.patch_embed(cine),
            "block0": encoder.blocks[0](encoder.tokens(cine)),
            "latent": latent,
            "cls": encoder.feature(latent),
            "projection": encoder(cine),
            "probe.block0": encoder.blocks[0](vectors["input.probe.block"]),
        }
    assert_reproduced("cmr", "cmr.tiny.vectors.safetensors", given, count=6)


def test_the_published_size_has_the_published_tensors(
    assert_published_layout: Callable[[str, nn.Module], None],
) -> None:
    with torch.device("meta"):
        encoder = CmrEncoder(PUBLISHED, projection_head(PUBLISHED.width))
    assert_published_layout("cmr_encoder", encoder)


def test_patches_are_cut_as_the_convolution_sees_them() -> None:
    """A convolution whose stride is its kernel is one linear layer over each patch."""
    encoder, cine = CmrEncoder(TINY), torch.randn(2, 10, 32, 32)
    layer = encoder.patch_embed.proj
    with torch.inference_mode():
        linear = encoder.split(cine) @ layer.weight.flatten(1).T + layer.bias
        assert torch.allclose(linear, encoder.patch_embed(cine), atol=1e-4)


def test_seeing_every_patch_is_the_whole_encoding() -> None:
    encoder, cine = CmrEncoder(TINY).eval(), torch.randn(2, 10, 32, 32)
    with torch.inference_mode():
        given = encoder.latent_of(cine, torch.arange(4).expand(2, -1))
        assert torch.allclose(given, encoder.latent(cine), atol=1e-5)


def test_hidden_patches_do_not_reach_the_encoding() -> None:
    encoder, cine = CmrEncoder(TINY).eval(), torch.randn(1, 10, 32, 32)
    other = cine.clone()
    other[:, :, :16] = torch.randn(1, 10, 16, 32)  # patches 0 and 1: the upper half
    visible = torch.tensor([[2, 3]])
    with torch.inference_mode():
        before, after = encoder.latent_of(cine, visible), encoder.latent_of(other, visible)
    assert torch.equal(before, after)


def test_a_side_of_broken_patches_is_an_error() -> None:
    with pytest.raises(ValueError, match="whole number of patches"):
        replace(TINY, side=40)
