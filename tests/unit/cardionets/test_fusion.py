"""ECG and CMR together give what the published fusion gives, by both of its branches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.cardionets import cmr_encoder, ecg_encoder
from pipelines.cardionets.cmr_encoder import CmrEncoder, CmrEncoderSize
from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize
from pipelines.cardionets.fusion import PUBLISHED, Branch, EcgCmrFusion, FusionSize
from pipelines.cardionets.heads import disease_head, phenotype_head

ECG = EcgEncoderSize(seq_len=300, patch=75, width=32, depth=2, heads=2, dim_head=16, mlp=64)
CMR = CmrEncoderSize(frames=10, side=32, patch=16, width=32, depth=2, heads=2, mlp=128)
TINY = FusionSize(depth=2, heads=4, mlp=128)


def build(branch: Branch, folder: Path) -> EcgCmrFusion:
    ecg, cmr = EcgEncoder(ECG, disease_head(32)), CmrEncoder(CMR)
    fusion = EcgCmrFusion(ecg, cmr, phenotype_head(32), TINY, branch).eval()
    fusion.load_state_dict(load_file(folder / "fusion.tiny.safetensors"), strict=True)
    return fusion


def test_every_recorded_tensor_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    fusion, gated = build(Branch.BLOCKS, vectors_folder), build(Branch.GATE, vectors_folder)
    vectors = load_file(vectors_folder / "fusion.tiny.vectors.safetensors")
    ecg, cine = vectors["input.ecg"], vectors["input.cine"]
    with torch.inference_mode():
        latents = fusion.ecg_model.latent(ecg), fusion.cmr_model.latent(cine)
        tokens = fusion.tokens(*latents)
        first = fusion.blocks[0](tokens)
        given: dict[str, Tensor] = {
            "ecg_latent": latents[0],
            "ecg_latent_lead_mean": tokens[:, :4],
            "cmr_latent": latents[1],
            "tokens_in": tokens,
            "blocks.0": first,
            "blocks": fusion.blocks[1](first),
            "pooled_norm": fusion.norm(fusion.attended(*latents)),
            "phenotypes": fusion(ecg, cine),
            "gated.gate": gated.gated(*latents),
            "gated.phenotypes": gated(ecg, cine),
            "probe.block0": fusion.blocks[0](vectors["input.probe.block"]),
        }
    assert_reproduced("fusion", "fusion.tiny.vectors.safetensors", given, count=11)


@pytest.mark.parametrize(
    ("name", "head"), [("fusion_phenotype", phenotype_head), ("fusion_disease", disease_head)]
)
def test_the_published_size_has_the_published_tensors(
    name: str,
    head: Callable[[int], nn.Module],
    assert_published_layout: Callable[[str, nn.Module], None],
) -> None:
    with torch.device("meta"):
        ecg = EcgEncoder(ecg_encoder.PUBLISHED, disease_head(768))
        cmr = CmrEncoder(cmr_encoder.PUBLISHED)
        fusion = EcgCmrFusion(ecg, cmr, head(768), PUBLISHED)
    assert_published_layout(name, fusion)


def test_encoders_of_different_widths_do_not_fuse() -> None:
    wide = CmrEncoder(replace(CMR, width=64))
    with pytest.raises(ValueError, match="same width"):
        EcgCmrFusion(EcgEncoder(ECG), wide, disease_head(32), TINY)
