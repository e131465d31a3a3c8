"""The networks at a configuration's sizes: of a finished training, or with random weights.

What a network costs does not follow from its weights, so the figures need no training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.artefact import CONFIGURATIONS, SHAPE, STAGE, ArtefactTraining, artefact_training
from benchmarks.as_trained import DecoderAsTrained
from benchmarks.shipped import NAME
from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.ecg_to_phenotypes import CONDITION, SUBJECT, EcgToPhenotypes, ServedEcg
from pipelines.cardionets.export import OpenSizes
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.generator import Generator, MarSize
from pipelines.cardionets.layout import Layout, LayoutSize, ServedLayout
from pipelines.cardionets.sampler_graphs import OUTPUTS, CineDecoder
from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES
from pipelines.datasets.training_set import FRAMES, SIZE
from pipelines.preprocessing import RECIPES
from pipelines.runtime import Session
from pipelines.training.configuration import (
    TrainingConfiguration,
    read_configuration,
)
from pipelines.training.run import Training

Module = TypeVar("Module", bound=nn.Module)
RECIPE: Final = RECIPES["cardionode-2"]
SEED: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network as it is served, with inputs of the sizes that it is served with."""

    module: nn.Module = field(repr=False)
    inputs: Mapping[str, Tensor] = field(repr=False)
    outputs: tuple[str, ...]
    opened: OpenSizes | None = field(default=None, repr=False)
    trained: nn.Module | None = field(default=None, repr=False)
    """The same in the form in which it is trained, where that is another one."""

    @property
    def peer(self) -> nn.Module:
        """What runs in torch, to be held against."""
        return self.trained or self.module


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """Builds what a configuration names; `runs`: the folder of its finished training, if any."""

    configuration: TrainingConfiguration
    runs: Path | None = None
    decoded: int | None = None
    """Frames of a latent that its decoder is measured with; None: all."""

    @classmethod
    def read(cls, name: str, *, runs: Path | None = None, decoded: int | None = None) -> Networks:
        """Of config/training/<name>.toml."""
        configuration = read_configuration(CONFIGURATIONS / f"{name}.toml")
        return cls(configuration=configuration, runs=runs, decoded=decoded)

    @property
    def training(self) -> Training | None:
        return None if self.runs is None else Training(self.runs, self.configuration)

    @property
    def artefact(self) -> ArtefactTraining | None:
        """Where it is trained."""
        if self.runs is None:
            return None
        training = artefact_training(self.runs, NAME)
        return training if training.finished(STAGE) else None

    def drawing(self, head: Session, decoder: Session) -> dict[str, Session]:
        """Diffusion head and decoder as the artefact draws with them; as they are without it."""
        if self.artefact is None:
            return {"head": head, "decoder": decoder}
        return {"head": self.artefact.bounded(head), "decoder": self.artefact.in_units(decoder)}

    @property
    def latent(self) -> tuple[int, int, int, int]:
        """Channels, frames, rows, columns."""
        coder = self.configuration.networks.autoencoder
        t, h, w = coder.stride
        return coder.latent_channels, FRAMES // t, SIZE // h, SIZE // w

    @property
    def mar_size(self) -> MarSize:
        """Of the configuration's generator, else of the artefact."""
        shape = self.configuration.networks.generator or SHAPE
        return MarSize(latent=self.latent, condition=CONDITION, **dict(shape))

    def ecg(self) -> Network:
        """In neutral units: what calibration adds is a multiplication."""
        if self.training is not None:
            network = self.training.ecg_network()
        else:
            network = EcgToPhenotypes(
                self.configuration.networks.ecg_encoder,
                targets=len(PHENOTYPES) + 1,
                diseases=len(DISEASES),
            )
        targets, diseases = network.mean.out_features, network.diseases.out_features
        served = ServedEcg(
            self._ready(network),
            location=torch.zeros(targets),
            scale=torch.ones(targets),
            platt=torch.tensor([[1.0], [0.0]]).repeat(1, diseases),
            phenotypes=torch.arange(targets - 1),
            diseases=torch.arange(diseases),
        ).eval()
        inputs = {"ecg": _noise(1, 12, RECIPE.window_samples), "subject": _noise(1, SUBJECT)}
        return Network(module=served, inputs=inputs, outputs=served.outputs)

    def layout(self) -> Network:
        shape = self.configuration.networks.layout
        assert shape is not None  # of the configurations that are measured
        if self.training is not None:
            layout = self.training.layout()
        else:
            layout = Layout(LayoutSize(condition=CONDITION, **dict(shape)), self.latent)
        steps = self.configuration.sampling.steps
        samples = torch.export.Dim("samples", min=1)
        return Network(
            module=ServedLayout(self._ready(layout), steps).eval(),
            inputs={"condition": _noise(1, CONDITION), "noise": _noise(1, shape.components)},
            outputs=("latent",),
            opened={"condition": {0: samples}, "noise": {0: samples}},
        )

    def decoder(self) -> Network:
        if self.training is not None:
            autoencoder = self.training.autoencoder()
        else:
            autoencoder = Autoencoder(self.configuration.networks.autoencoder)
        channels, frames, rows, columns = self.latent
        ready = self._ready(autoencoder)
        return Network(
            module=CineDecoder(ready).eval(),
            trained=DecoderAsTrained(ready).eval(),
            inputs={"latent": _noise(1, channels, self.decoded or frames, rows, columns)},
            outputs=tuple(OUTPUTS["decoder"]),
        )

    def generator(self, *, diffusion: bool = False) -> Generator:
        """The artefact where it is trained; else random."""
        if diffusion and self.artefact is not None:
            return self.artefact.generator()
        torch.manual_seed(SEED)
        head = DiffusionHead if diffusion else FlowHead
        return self._random(Generator(self.mar_size, head(self.mar_size.head))).eval()

    def trunk(self) -> Network:
        """At a step in the middle, with guidance: two samples, half of the tokens known."""
        size = self.mar_size
        known = size.tokens // 2
        order = torch.arange(size.tokens).repeat(2, 1)
        dim = torch.export.Dim
        samples, before, after = dim("samples", min=1), dim("known", min=0), dim("masked", min=1)
        return Network(
            module=self.generator(diffusion=True),
            inputs={
                "tokens": _noise(2, known, size.token),
                "known": order[:, :known],
                "masked": order[:, known:],
                "condition": _noise(2, CONDITION),
                "dropped": torch.tensor([False, True]),
            },
            outputs=tuple(OUTPUTS["trunk"]),
            opened={
                "tokens": {0: samples, 1: before},
                "known": {0: samples, 1: before},
                "masked": {0: samples, 1: after},
                "condition": {0: samples},
                "dropped": {0: samples},
            },
        )

    def head(self, *, diffusion: bool = False) -> Network:
        """Of the tokens of a middle step, with guidance."""
        size = self.mar_size
        rows = 2 * -(-size.tokens // 16)
        many = torch.export.Dim("rows", min=1)
        return Network(
            module=self.generator(diffusion=diffusion).diffloss.net,
            inputs={
                "x": _noise(rows, size.token),
                "t": torch.full((rows,), 500.0),
                "z": _noise(rows, size.width),
            },
            outputs=tuple(OUTPUTS["head"]),
            opened={name: {0: many} for name in ("x", "t", "z")},
        )

    def _ready(self, network: Module) -> Module:
        """A trained network is; another is given random weights."""
        return network.eval() if self.training is not None else self._random(network).eval()

    @staticmethod
    def _random(network: Module) -> Module:
        """No weight stays at zero: an optimiser may leave out what has no effect."""
        torch.manual_seed(SEED)
        with torch.no_grad():
            for values in (*network.parameters(), *network.buffers()):
                if values.is_floating_point() and not values.any():
                    values.normal_(std=0.02)
        return network


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED))
