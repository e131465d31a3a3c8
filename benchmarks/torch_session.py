"""Networks in torch eager fp32 in the place of a bundle's graphs: the peer of every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from node.domain.prediction import ModelIdentity
from pipelines.bundle import Bundle
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.layout_sampler import LayoutSampler
from pipelines.runtime import Array, Feed
from pipelines.runtime import Tensor as Described
from pipelines.sampler_spec import LayoutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSession:
    """A network in torch, run as a runtime runs a graph (pipelines.runtime.Session)."""

    module: Callable[..., Tensor | tuple[Tensor, ...]] = field(repr=False)
    takes: tuple[str, ...]
    """Names of the inputs, in the order in which the network takes them."""
    gives: tuple[str, ...]
    inputs: tuple[Described, ...] = ()
    outputs: tuple[Described, ...] = ()

    def run(self, inputs: Feed) -> dict[str, Array]:
        with torch.inference_mode():
            found = self.module(*(torch.from_numpy(inputs[name]) for name in self.takes))
        values = found if isinstance(found, tuple) else (found,)
        return {name: value.numpy() for name, value in zip(self.gives, values, strict=True)}


def torch_pipeline(bundle: Bundle, sessions: Mapping[str, TorchSession]) -> EcgToCmr:
    """The bundle's pipeline with sessions ecg, layout and decoder; all but the networks is its."""
    manifest = bundle.manifest
    assert isinstance(manifest.sampler, LayoutSpec)  # of the shipped bundle
    return EcgToCmr(
        manifest=manifest,
        identity=ModelIdentity(
            bundle=manifest.name,
            version=manifest.version,
            digest=bundle.digest,
            runtime=f"torch {torch.__version__}",
            precision="fp32",
            intended_use=manifest.intended_use,
            training_data=manifest.training_data,
            simulated=manifest.simulated,
            interval_coverage=manifest.interval_coverage,
        ),
        ecg=sessions["ecg"],
        cine=None,
        sampler=LayoutSampler(
            spec=manifest.sampler, layout=sessions["layout"], decoder=sessions["decoder"]
        ),
    )
