"""Trunk and head of a small generator with random weights: graphs whose sizes are open."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator
from pipelines.cardionets.sampler_graphs import export_sampler, sampler_inputs
from pipelines.sampler import Chance
from pipelines.sampler_spec import SamplerSpec
from tests.unit.cardionets.published_generator import TINY

HEADS = {"diffusion": DiffusionHead, "flow": FlowHead}


def spec() -> SamplerSpec:
    return SamplerSpec.model_validate(
        {
            "kind": "masked-autoregressive",
            "latent": TINY.latent,
            "patch": TINY.patch,
            "tokens": TINY.tokens,
            "token_values": TINY.token,
            "decoding": "all",
            "ar_steps": 4,
            "head": {"kind": "diffusion", "steps": 10},
            "guidance": {"scale": 3.0, "schedule": "constant"},
            "temperature": 1.0,
            "samples": 1,
            "shown": "sample",
        }
    )


@cache
def drawing_graphs(head: str) -> dict[str, tuple[bytes, dict[str, NDArray[Any]]]]:
    """Role -> ONNX and the inputs that it was exported with."""
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
