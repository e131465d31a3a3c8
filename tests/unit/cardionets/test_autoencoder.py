"""The autoencoder: equal to the published one, and whole when folded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.cardionets.autoencoder import (
    PUBLISHED,
    Autoencoder,
    AutoencoderSize,
    ServedDecoder,
    fold,
    unfold,
    unit_latent,
)
from pipelines.cardionets.export import export_graph, largest_difference
from tests.unit.cardionets.recorded import (
    assert_all_equal,
    assert_published_state,
    first_different_layer,
    outputs_of_modules,
    recorded,
    weights,
)

TINY = AutoencoderSize(
    channels=32,
    multipliers=(1, 1, 2, 1),
    residual_blocks=1,
    latent_channels=2,
    time_downsamplings=1,
    discriminator_channels=4,
)
FOLDED = AutoencoderSize(
    channels=32,
    multipliers=(1, 2, 2),
    residual_blocks=1,
    latent_channels=4,
    time_downsamplings=0,
    fold=(5, 4, 4),
)


@pytest.fixture(scope="module")
def tiny(vectors_folder: Path) -> Autoencoder:
    network = Autoencoder(TINY).eval()
    network.load_state_dict(weights(vectors_folder, "vae.tiny"))
    return network


def _outputs(network: Autoencoder, given: dict[str, Tensor], noise: Tensor) -> dict[str, Tensor]:
    """Everything the reference recorded, from ours."""
    layers = outputs_of_modules(network, lambda: network(given["cine"], noise))
    reconstruction, posterior = network(given["cine"], noise)
    free = network.decode(given["latent_free"])
    encoder, decoder = network.encoder_3d, network.decoder
    return {
        "encoder_out": layers["encoder_3d"],
        "enc_mid_attn": layers["encoder_3d.mid.attn_1"],
        "moments": layers["quant_conv"],
        "mean": posterior.mean,
        "logvar": posterior.log_variance,
        "kl": posterior.divergence(),
        "sample": posterior.sample(noise),
        "latent": unit_latent(posterior.sample(noise)),
        "latent_of_mean": unit_latent(posterior.mean),
        "dec_conv_in": layers["decoder.conv_in"],
        "dec_mid_attn": layers["decoder.mid.attn_1"],
        "reconstruction": reconstruction,
        "disc_logits": network.loss.discriminator(reconstruction),
        "decode_free": free,
        "decode_free_clamped": ServedDecoder(network)(given["latent_free"]),
        "probe.enc_mid_attn": encoder.mid.attn_1(given["probe.small"]),
        "probe.enc_mid_block1": encoder.mid.block_1(given["probe.small"]),
        "probe.down_spatial": encoder.down[0].downsample(given["probe.updown"]),
        "probe.down_both": encoder.down[2].downsample(given["probe.down64"]),
        "probe.up_spatial": decoder.up[1].upsample(given["probe.updown"]),
        "probe.up_both": decoder.up[3].upsample(given["probe.updown"]),
    }


def test_every_recorded_output_of_the_published_autoencoder_is_reproduced(
    tiny: Autoencoder, vectors_folder: Path, tolerances: dict[str, dict[str, Any]]
) -> None:
    given = recorded(vectors_folder, "vae.tiny.vectors", "input")
    noise = recorded(vectors_folder, "vae.tiny.vectors", "noise")["posterior"]
    expected = recorded(vectors_folder, "vae.tiny.vectors", "expected")
    with torch.inference_mode():
        found = _outputs(tiny, given, noise)
    atol = {key: tolerances[f"vae|expected.{key}"]["suggested_atol"] for key in expected}
    assert_all_equal(found, expected, atol)
    assert len(expected) == 21


def test_every_layer_of_the_autoencoder_gives_the_statistics_of_the_reference(
    tiny: Autoencoder, vectors_folder: Path
) -> None:
    cine = recorded(vectors_folder, "vae.tiny.vectors", "input")["cine"]
    of_the_mean = torch.zeros(2, 2, 10, 4, 4)
    with torch.inference_mode():
        found = first_different_layer(tiny, vectors_folder, "vae", lambda: tiny(cine, of_the_mean))
    assert found == (None, 120)


def test_the_published_autoencoder_has_the_state_of_the_published_file(
    vectors_folder: Path,
) -> None:
    with torch.device("meta"):
        assert_published_state(Autoencoder(PUBLISHED), vectors_folder, "vae")


def test_folding_loses_nothing() -> None:
    cine = torch.arange(2 * 3 * 10 * 8 * 12).reshape(2, 3, 10, 8, 12)
    folded = fold(cine, (5, 4, 2))
    assert folded.shape == (2, 3 * 40, 2, 2, 6)
    assert torch.equal(unfold(folded, (5, 4, 2)), cine)


def test_folding_in_space_is_the_pixel_unshuffle_of_every_frame() -> None:
    cine = torch.randn(1, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    frames = cine.transpose(1, 2)[0]  # (3, 2, 8, 8)
    expected = torch.nn.functional.pixel_unshuffle(frames, 4).transpose(0, 1)[None]
    assert torch.equal(fold(cine, (1, 4, 4)), expected)


def test_a_folded_autoencoder_keeps_the_shape_of_the_cine_and_has_the_stride_it_says() -> None:
    network = Autoencoder(FOLDED).eval()
    cine = torch.zeros(1, 1, 10, 32, 32)
    with torch.inference_mode():
        reconstruction, posterior = network(cine, torch.zeros(1, 4, 2, 2, 2))
    assert FOLDED.stride == (5, 16, 16)
    assert posterior.mean.shape == (1, 4, 2, 2, 2)
    assert reconstruction.shape == cine.shape


def test_the_exported_folded_decoder_gives_what_torch_gives() -> None:
    torch.manual_seed(0)
    network = Autoencoder(FOLDED).eval()
    decoder, latent = ServedDecoder(network), {"latent": torch.randn(1, 4, 2, 2, 2)}
    graph = export_graph(decoder, latent, ["cine"])
    assert largest_difference(decoder, graph, latent, ["cine"]) < 1e-4


def test_a_decoder_is_served_in_a_quicker_form_and_stays_as_it_is_trained() -> None:
    torch.manual_seed(0)
    network = Autoencoder(replace(FOLDED, periodic=True)).eval()
    before = {name: values.clone() for name, values in network.state_dict().items()}
    latent = torch.randn(2, 4, 5, 2, 2)
    with torch.inference_mode():
        trained, served = network.decode(latent).clamp(-1.0, 1.0), ServedDecoder(network)(latent)
    torch.testing.assert_close(served, trained, rtol=0.0, atol=1e-5)
    after = network.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], values) for name, values in before.items())
    assert "_LoopConvolution" in str(network)
    assert "_LoopConvolution" not in str(ServedDecoder(network))


def test_a_size_without_whole_groups_or_with_too_many_halvings_of_time_is_refused() -> None:
    given = {"residual_blocks": 1, "latent_channels": 2}
    with pytest.raises(ValueError, match="groups"):
        AutoencoderSize(channels=48, multipliers=(1, 2), time_downsamplings=0, **given)
    with pytest.raises(ValueError, match="halved"):
        AutoencoderSize(channels=32, multipliers=(1, 2), time_downsamplings=2, **given)


@pytest.mark.parametrize(("said", "taken"), [(100.0, 20.0), (-100.0, -30.0)])
def test_a_log_variance_beyond_its_bounds_is_taken_at_the_bound(said: float, taken: float) -> None:
    network = Autoencoder(FOLDED).eval()
    torch.nn.init.zeros_(network.quant_conv.weight)
    torch.nn.init.constant_(network.quant_conv.bias, said)
    with torch.inference_mode():
        posterior = network.encode(torch.zeros(1, 1, 5, 16, 16))
    assert torch.equal(posterior.log_variance, torch.full((1, 4, 1, 1, 1), taken))
