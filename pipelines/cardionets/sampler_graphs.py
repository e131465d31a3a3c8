"""The generator and the autoencoder's decoder as the graphs that `pipelines.sampler` runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from pipelines.cardionets.autoencoder import Autoencoder, ServedDecoder
from pipelines.cardionets.export import export_graph
from pipelines.cardionets.generator import Generator
from pipelines.sampler import Chance

OUTPUTS: Final = {"trunk": ["z"], "head": ["estimate"], "decoder": ["frames"]}
"""Of each graph."""


class CineDecoder(nn.Module):
    """A latent (n, c, t, h, w) to the frames (n, t, h, w) of its cine in [-1, 1]."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder = ServedDecoder(autoencoder)

    def forward(self, latent: Tensor) -> Tensor:
        return self.decoder(latent)[:, 0]  # (n, t, h, w): a cine has one channel


def sampler_networks(generator: Generator, autoencoder: Autoencoder) -> dict[str, nn.Module]:
    """Role -> network."""
    return {
        "trunk": generator.eval(),
        "head": generator.diffloss.net.eval(),
        "decoder": CineDecoder(autoencoder).eval(),
    }


def sampler_inputs(
    generator: Generator, latent: Tensor, chance: Chance
) -> dict[str, dict[str, Tensor]]:
    """Role -> inputs to export and to prove a graph with: two samples, some of the tokens known.

    latent (1, c, t, h, w) is the decoder's; the other numbers are the chance's.
    """
    size = generator.size
    order = torch.from_numpy(chance.order[:1]).repeat(2, 1)  # (2, L)
    noise = torch.from_numpy(chance.noise[0, :, 0])  # (L, C)
    known = max(1, size.tokens // 3)
    rows = torch.linspace(-1.0, 1.0, 3 * size.width).reshape(3, size.width)
    return {
        "trunk": {
            "tokens": noise[order[:, :known]],  # (2, K, C)
            "known": order[:, :known],
            "masked": order[:, known:],
            "condition": torch.linspace(-1.0, 1.0, 2 * size.condition).reshape(2, -1),
            "dropped": torch.tensor([False, True]),
        },
        "head": {
            "x": noise[:1].repeat(3, 1),  # (3, C)
            "t": torch.tensor([0.0, 500.0, 999.0]),
            "z": rows,
        },
        "decoder": {"latent": latent},
    }


def export_sampler(
    networks: Mapping[str, nn.Module], inputs: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, bytes]:
    """Role -> ONNX; trunk and head take any number of samples, places and rows."""
    size = torch.export.Dim
    samples, rows = size("samples", min=1), size("rows", min=1)
    known, masked = size("known", min=0), size("masked", min=1)
    opened = {
        "trunk": {
            "tokens": {0: samples, 1: known},
            "known": {0: samples, 1: known},
            "masked": {0: samples, 1: masked},
            "condition": {0: samples},
            "dropped": {0: samples},
        },
        "head": {"x": {0: rows}, "t": {0: rows}, "z": {0: rows}},
    }
    return {
        role: export_graph(network, inputs[role], OUTPUTS[role], opened.get(role))
        for role, network in networks.items()
    }
