"""A small token sampler with random weights: trunk and head, whose sizes are open, and decoder."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator
from pipelines.cardionets.sampler_graphs import CineDecoder, export_sampler, sampler_inputs
from pipelines.sampler import Chance
from pipelines.sampler_spec import SamplerSpec
from tests.unit.cardionets.published_generator import TINY
from tests.unit.cardionets.test_autoencoder import TINY as AUTOENCODER

HEADS = {"diffusion": DiffusionHead, "flow": FlowHead}
STATED: dict[str, dict[str, Any]] = {
    "diffusion": {"kind": "diffusion", "steps": 10},
    "flow": {"kind": "flow", "steps": 4, "solver": "heun"},
}


def spec(head: str = "diffusion") -> SamplerSpec:
    return SamplerSpec.model_validate(
        {
            "kind": "masked-autoregressive",
            "latent": TINY.latent,
            "patch": TINY.patch,
            "tokens": TINY.tokens,
            "token_values": TINY.token,
            "decoding": "all",
            "ar_steps": 4,
            "head": STATED[head],
            "guidance": {"scale": 3.0, "schedule": "constant"},
            "temperature": 1.0,
            "samples": 1,
            "shown": "sample",
        }
    )


@cache
def drawing_graphs(head: str) -> dict[str, tuple[bytes, dict[str, NDArray[Any]]]]:
    """Of trunk and head: ONNX and the inputs that it was exported with."""
    torch.manual_seed(0)
    generator = Generator(TINY, HEADS[head](TINY.head))
    for weights in generator.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=1.0 / math.sqrt(weights[0].numel()))
    networks = {"trunk": generator.eval(), "head": generator.diffloss.net.eval()}
    latent = torch.zeros(1, *TINY.latent)
    inputs = sampler_inputs(generator, latent, Chance.seeded(spec(), "example"))
    return {
        role: (graph, {name: np.asarray(value) for name, value in inputs[role].items()})
        for role, graph in export_sampler(networks, inputs).items()
    }


@cache
def decoder_graph() -> bytes:
    torch.manual_seed(0)
    network = CineDecoder(Autoencoder(AUTOENCODER)).eval()
    inputs = {"decoder": {"latent": torch.zeros(1, *TINY.latent)}}
    return export_sampler({"decoder": network}, inputs)["decoder"]
