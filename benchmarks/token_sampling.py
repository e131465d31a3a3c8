"""Drawing a cine token after token: as published, and along a flow."""

from __future__ import annotations

from typing import Final

from benchmarks.networks import Network, Networks
from benchmarks.torch_session import TorchSession
from pipelines.cardionets.generator import MarSize
from pipelines.flow_path import Solver
from pipelines.sampler import Sampler
from pipelines.sampler_spec import GuidanceSpec, HeadSpec, SamplerSpec

PUBLISHED_HEAD: Final = HeadSpec(kind="diffusion", steps=100)
PUBLISHED_AR_STEPS: Final = 16
PUBLISHED_GUIDANCE: Final = 3.0
"""As the authors draw: pipelines.cardionets.published_bundle.Drawing."""


def published_spec(size: MarSize) -> SamplerSpec:
    """How the authors draw, for latents and tokens of this size."""
    return _spec(size, PUBLISHED_HEAD, PUBLISHED_AR_STEPS, PUBLISHED_GUIDANCE)


def flow_spec(size: MarSize, *, steps: int, ar_steps: int) -> SamplerSpec:
    """Tokens drawn along a flow, without guidance."""
    return _spec(size, HeadSpec(kind="flow", steps=steps, solver=Solver.HEUN), ar_steps, 1.0)


def _spec(size: MarSize, head: HeadSpec, ar_steps: int, guidance: float) -> SamplerSpec:
    return SamplerSpec(
        kind="masked-autoregressive",
        latent=size.latent,
        patch=size.patch,
        tokens=size.tokens,
        token_values=size.token,
        decoding="all",
        ar_steps=ar_steps,
        head=head,
        guidance=GuidanceSpec(scale=guidance, schedule="constant"),
        temperature=1.0,
        samples=1,
        shown="sample",
    )


def published_in_torch(networks: Networks) -> Sampler:
    """The published procedure with its networks in torch eager fp32."""
    trunk, head = networks.trunk(), networks.head(diffusion=True)
    return Sampler(
        spec=published_spec(networks.mar_size),
        trunk=_session(trunk),
        head=_session(head),
        decoder=_session(networks.decoder()),
    )


def _session(network: Network) -> TorchSession:
    return TorchSession(module=network.module, takes=tuple(network.inputs), gives=network.outputs)
