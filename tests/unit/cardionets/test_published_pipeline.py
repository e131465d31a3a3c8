"""From ECG to cine through all three published networks, as the reference ran them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.cardionets.autoencoder import Autoencoder, ServedDecoder
from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize
from pipelines.cardionets.heads import projection_head
from tests.unit.cardionets.published_generator import PublishedGenerator, draw_recorded
from tests.unit.cardionets.recorded import assert_all_equal, recorded, weights
from tests.unit.cardionets.test_autoencoder import TINY as AUTOENCODER

ECG = EcgEncoderSize(seq_len=300, patch=75, width=32, depth=2, heads=2, dim_head=16, mlp=64)
ROUNDING = 1e-11


def _run(folder: Path, dtype: torch.dtype) -> dict[str, Tensor]:
    encoder = EcgEncoder(ECG, projection_head(32, 24)).eval()
    encoder.load_state_dict(weights(folder, "ecg.tiny"))
    autoencoder = Autoencoder(AUTOENCODER).eval()
    autoencoder.load_state_dict(weights(folder, "vae.tiny"))
    generator = PublishedGenerator(folder, dtype)
    given = recorded(folder, "e2e.tiny.vectors", "input")
    noise = recorded(folder, "e2e.tiny.vectors", "noise")
    with torch.inference_mode():
        condition = encoder.to(dtype)(given["ecg"].to(dtype))
        drawn = draw_recorded(
            generator.network,
            condition,
            given["orders"],
            {
                "count": noise["ar.count"],
                "init": noise["ar.init"].to(dtype),
                "steps": noise["ar.steps"].to(dtype),
            },
            AutoregressiveSchedule.cosine(18, 4),
            (3.0,) * 4,
        )
        latent = generator.network.assemble(drawn)
        cine = ServedDecoder(autoencoder.to(dtype))(latent)
    return {"condition": condition, "latent": latent, "cine": cine}


def test_the_published_networks_make_the_recorded_cine_of_the_recorded_ecg(
    vectors_folder: Path, tolerances: dict[str, dict[str, Any]]
) -> None:
    expected = recorded(vectors_folder, "e2e.tiny.vectors", "expected")
    atol = {key: tolerances[f"e2e|expected.{key}"]["suggested_atol"] for key in expected}
    assert_all_equal(_run(vectors_folder, torch.float32), expected, atol)


def test_in_double_precision_the_recorded_cine_is_made_to_rounding(vectors_folder: Path) -> None:
    everything = recorded(vectors_folder, "mar.tiny.vectors_f64", "expected")
    prefix = "e2e."
    expected = {
        key.removeprefix(prefix): t for key, t in everything.items() if key.startswith(prefix)
    }
    found = _run(vectors_folder, torch.float64)
    found["cine_frames_0_9_19"] = found.pop("cine")[:, :, [0, 9, 19]]
    assert_all_equal(found, expected, dict.fromkeys(expected, ROUNDING))
