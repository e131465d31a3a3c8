"""NVIDIA's compiler takes graphs of the published size: random weights, fp16, one kind of GPU.

Built with TensorRT for RTX, which needs no GPU to build; not run on hardware.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from node.domain.errors import DeviceError
from pipelines.cardionets import autoencoder, ecg_encoder, generator
from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.export import export_graph
from pipelines.cardionets.generator import Generator
from pipelines.cardionets.published_bundle import published_sampler
from pipelines.cardionets.sampler_graphs import export_sampler, sampler_inputs, sampler_networks
from pipelines.runtime.engine_build import build_engine
from pipelines.runtime.half_precision import half_precision
from pipelines.runtime.tensorrt_library import TensorRtLibrary
from pipelines.sampler import Chance
from tests.conftest import absent

CAPABILITY = "89"
"""RTX 40."""
MINUTES = 15


@contextmanager
def _told(what: str) -> Iterator[None]:
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    processor_s = after.ru_utime - before.ru_utime
    print(
        f"\n{what}: {time.monotonic() - started:.0f} s, {processor_s:.0f} s of processor, "
        f"peak {after.ru_maxrss / 2**20:.1f} GiB",
        flush=True,
    )


def _graphs() -> dict[str, bytes]:
    """Role -> ONNX, by the way on which an imported bundle gets them."""
    torch.manual_seed(0)
    size = generator.PUBLISHED
    encoder = EcgEncoder(
        ecg_encoder.PUBLISHED, nn.Linear(ecg_encoder.PUBLISHED.width, size.condition)
    )
    drawer = Generator(size, DiffusionHead(size.head))
    coder = Autoencoder(replace(autoencoder.PUBLISHED, discriminator_channels=None))
    latent = torch.randn(1, *size.latent)
    inputs = sampler_inputs(
        drawer, latent, Chance.seeded(published_sampler(generator.PUBLISHED), "example")
    )
    ecg = torch.randn(1, 12, ecg_encoder.PUBLISHED.seq_len)
    graphs = {}
    with _told("exporting ecg"):
        graphs["ecg"] = export_graph(encoder, {"ecg": ecg}, ["condition"])
    for role, network in sampler_networks(drawer, coder).items():
        with _told(f"exporting {role}"):
            graphs |= export_sampler({role: network}, inputs)
    return graphs


@pytest.mark.soak
def test_graphs_of_the_published_size_are_built() -> None:
    started = time.monotonic()
    try:
        library = TensorRtLibrary.find("tensorrt-rtx")
    except DeviceError as error:
        absent(error.message)
    for role, graph in _graphs().items():
        with _told(f"halving {role} of {len(graph) / 1e6:.0f} MB"):
            halved = half_precision(graph, f"{role}.onnx")
        with _told(f"building {role} of {len(halved) / 1e6:.0f} MB"):
            built = build_engine(
                library,
                halved,
                published_sampler(generator.PUBLISHED).sizes,
                name=f"{role}.onnx",
                capabilities=(CAPABILITY,),
                progress=lambda name, share: None,
            )
        print(f"{role}: plan of {len(built.plan) / 1e6:.0f} MB")
        assert len(built.plan) > 0.8 * len(halved)
    assert time.monotonic() - started < 60 * MINUTES
