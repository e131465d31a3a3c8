"""A bundle out of the published checkpoints: cine, and diseases where their encoders are given.

The bundle holds the published weights as graphs. Its golden answers are torch's, so that loading
it proves the graphs, and the loop that draws, equal to the networks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from node.domain.errors import BundleError, UnusableData
from pipelines.bundle import Bundle, write_bundle
from pipelines.cardionets.autoencoder import Autoencoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.cardionets.export import example_ecg, export_graph
from pipelines.cardionets.generator import Generator, MarSize
from pipelines.cardionets.published import (
    Geometry,
    read_autoencoder,
    read_ecg_encoder,
    read_generator,
)
from pipelines.cardionets.published_manifest import (
    RECIPE,
    Checkpoints,
    model_card,
    published_manifest,
)
from pipelines.cardionets.sampler_graphs import (
    OUTPUTS,
    export_sampler,
    sampler_inputs,
    sampler_networks,
)
from pipelines.manifest import BUNDLE_NAME, CineSpec
from pipelines.sampler import golden_draw
from pipelines.sampler_spec import GuidanceSpec, HeadSpec, SamplerSpec
from pipelines.self_test import golden_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How the authors drew, and what no shape tells; other values are for other sizes."""

    geometry: Geometry = field(default_factory=Geometry)
    ar_steps: int = 16
    head_steps: int = 100
    guidance: float = 3.0


PUBLISHED: Final = Drawing()


class ServedEncoders(nn.Module):
    """One ECG (1, leads, T) to the condition (1, W) and, if any, each disease's logit (1, D)."""

    def __init__(self, aligned: EcgEncoder, diseases: Sequence[EcgEncoder]) -> None:
        super().__init__()
        self.aligned = aligned
        self.diseases = nn.ModuleList(diseases)

    def forward(self, ecg: Tensor) -> tuple[Tensor, ...]:
        condition = self.aligned(ecg)  # (1, W)
        if not self.diseases:
            return (condition,)
        return condition, torch.cat([each(ecg) for each in self.diseases], dim=1)  # (1, D)


def import_checkpoints(
    files: Checkpoints, folder: Path, *, name: str, drawing: Drawing = PUBLISHED
) -> Bundle:
    """Write the bundle into the folder.

    Raises UnusableData (a file that is not the published network's, or does not fit the others)
    and BundleError (a folder that is not empty, a name that no bundle can have).
    """
    _check_names(files, folder, name)
    encoders, generator, autoencoder = _read(files, drawing.geometry)
    sampler = published_sampler(generator.size, drawing)
    golden, inputs = _golden(encoders, generator, autoencoder, sampler)
    outputs = ["condition", *(["diseases"] if files.diseases else [])]
    networks = sampler_networks(generator, autoencoder)
    graphs = {"ecg": export_graph(encoders, {"ecg": inputs["ecg"]["ecg"]}, outputs)}
    graphs |= export_sampler(networks, inputs)
    manifest = published_manifest(files, name, graphs, sampler, _cine(autoencoder, sampler))
    return write_bundle(
        folder,
        manifest,
        graphs=graphs,
        golden=golden,
        model_card=model_card(manifest),
        metrics="{}\n",
    )


def _check_names(files: Checkpoints, folder: Path, name: str) -> None:
    """Before minutes of work: what would be refused at their end. Raises BundleError."""
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder} holds files already: name a new folder")
    if not re.fullmatch(BUNDLE_NAME, name):
        raise BundleError(
            f"{name!r} cannot be a bundle's name: lower-case letters, digits, and . _ - inside"
        )
    ids = [disease.field_id for disease in files.diseases]
    repeated = sorted({each for each in ids if ids.count(each) > 1})
    if repeated:
        raise BundleError(f"two files are given for {', '.join(repeated)}: give one a disease")


def _read(files: Checkpoints, geometry: Geometry) -> tuple[ServedEncoders, Generator, Autoencoder]:
    """The networks, each fit for the next. Raises UnusableData."""
    aligned = _read_encoder(files.ecg, geometry)
    diseases = [_read_disease(disease.file, geometry) for disease in files.diseases]
    generator = read_generator(files.generator, geometry)
    autoencoder = read_autoencoder(files.autoencoder)
    if aligned.head.out_features != generator.size.condition:
        raise UnusableData(
            f"{files.ecg.name} gives {aligned.head.out_features} values, {files.generator.name} "
            f"takes {generator.size.condition}: give the aligned encoder"
        )
    if autoencoder.size.latent_channels != generator.size.latent[0]:
        raise UnusableData(
            f"{files.autoencoder.name} has a latent of {autoencoder.size.latent_channels} "
            f"channels, {files.generator.name} draws {generator.size.latent[0]}: give files of "
            "one release"
        )
    return ServedEncoders(aligned, diseases), generator, autoencoder


def _read_encoder(file: Path, geometry: Geometry) -> EcgEncoder:
    encoder = read_ecg_encoder(file, geometry)
    if encoder.size.seq_len != RECIPE.window_samples:
        raise UnusableData(
            f"{file.name} takes {encoder.size.seq_len} samples, recipe {RECIPE.name} gives "
            f"{RECIPE.window_samples}: give the published file"
        )
    return encoder


def _read_disease(file: Path, geometry: Geometry) -> EcgEncoder:
    encoder = _read_encoder(file, geometry)
    if encoder.head.out_features != 1:
        raise UnusableData(
            f"{file.name} gives {encoder.head.out_features} values, a disease has one: give a "
            "disease's checkpoint"
        )
    return encoder


def published_sampler(size: MarSize, drawing: Drawing = PUBLISHED) -> SamplerSpec:
    """How the authors draw one sample of latents and tokens of this size."""
    return SamplerSpec(
        kind="masked-autoregressive",
        latent=size.latent,
        patch=size.patch,
        tokens=size.tokens,
        token_values=size.token,
        decoding="all",
        ar_steps=drawing.ar_steps,
        head=HeadSpec(kind="diffusion", steps=drawing.head_steps),
        guidance=GuidanceSpec(scale=drawing.guidance, schedule="constant"),
        temperature=1.0,
        samples=1,
        shown="sample",
    )


def _cine(autoencoder: Autoencoder, sampler: SamplerSpec) -> CineSpec:
    frames, rows, columns = (
        side * stride
        for side, stride in zip(sampler.latent[1:], autoencoder.size.stride, strict=True)
    )
    return CineSpec(view="long-axis four-chamber", frames=frames, rows=rows, columns=columns)


def _golden(
    encoders: ServedEncoders, generator: Generator, autoencoder: Autoencoder, sampler: SamplerSpec
) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Tensor]]]:
    """What torch answers, by the names of the archive; and every graph's inputs, by role."""
    ecg = torch.from_numpy(_golden_ecg())[None]  # (1, 12, T)
    short, chance = golden_draw(sampler)
    with torch.inference_mode():
        answers = dict(zip(("condition", "diseases"), encoders(ecg), strict=False))
        steps = generator.draw(
            answers["condition"],
            torch.from_numpy(chance.order),
            torch.from_numpy(chance.noise),
            partial(generator.diffloss.sample, steps=short.head.steps),
            schedule=short.schedule,
            scales=short.scales(),
        )
        latent = generator.assemble(list(steps))
    inputs = sampler_inputs(generator, latent, chance)
    found = {"ecg": ecg, **answers}
    with torch.inference_mode():
        for role, network in sampler_networks(generator, autoencoder).items():
            (output,) = OUTPUTS[role]
            named = {**inputs[role], output: network(*inputs[role].values())}
            found |= {golden_name(role, key): value for key, value in named.items()}
    return {key: value.numpy() for key, value in found.items()}, {"ecg": {"ecg": ecg}, **inputs}


def _golden_ecg() -> NDArray[np.float32]:
    """(12, T), standardised as the recipe does."""
    ecg = example_ecg(RECIPE)
    return ((ecg - ecg.mean()) / ecg.std()).astype(np.float32)
