"""Drawing a cine token after token: as published, and along a flow."""

from __future__ import annotations

from benchmarks.networks import Network, Networks
from benchmarks.torch_session import TorchSession
from pipelines.cardionets.generator import MarSize
from pipelines.cardionets.published_bundle import published_sampler
from pipelines.flow_path import Solver
from pipelines.sampler import Sampler
from pipelines.sampler_spec import GuidanceSpec, HeadSpec, SamplerSpec


def flow_spec(size: MarSize, *, steps: int, ar_steps: int) -> SamplerSpec:
    """Tokens drawn along a flow, without guidance."""
    return published_sampler(size).model_copy(
        update={
            "ar_steps": ar_steps,
            "head": HeadSpec(kind="flow", steps=steps, solver=Solver.HEUN),
            "guidance": GuidanceSpec(scale=1.0, schedule="constant"),
        }
    )


def published_in_torch(networks: Networks) -> Sampler:
    """The published procedure with its networks in torch eager fp32."""
    trunk, head = networks.trunk(), networks.head(diffusion=True)
    return Sampler(
        spec=published_sampler(networks.mar_size),
        trunk=_session(trunk),
        **networks.drawing(_session(head), _session(networks.decoder())),
    )


def _session(network: Network) -> TorchSession:
    return TorchSession(module=network.peer, takes=tuple(network.inputs), gives=network.outputs)
