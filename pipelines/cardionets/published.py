"""The published networks out of their files: sizes from the tensors' shapes, weights by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import TypeVar

from torch import nn

from node.domain.errors import UnusableData
from pipelines.cardionets.autoencoder import Autoencoder, AutoencoderSize
from pipelines.cardionets.checkpoint import State, fit, read_state
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.ecg_encoder import EcgEncoder, EcgEncoderSize
from pipelines.cardionets.generator import Generator, MarSize

Size = TypeVar("Size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What no shape tells of the published networks: widths of attention heads, the latent."""

    ecg_head: int = 64
    generator_head: int = 64
    latent: tuple[int, int, int] = (25, 12, 12)
    """Frames, rows, columns: of 50 frames of 96 x 96 pixels."""
    patch: tuple[int, int, int] = (5, 2, 2)


def read_ecg_encoder(file: Path, geometry: Geometry) -> EcgEncoder:
    """An ECG encoder with its linear head: the alignment's projection, or one disease's logit.

    Raises UnusableData, as `read_state` and `fit` do.
    """
    state = read_state(file, key="model")
    size = _sized(file, partial(_ecg_size, geometry=geometry), state)
    outputs, width = _sized(file, _head_shape, state)
    return fit(lambda: EcgEncoder(size, nn.Linear(width, outputs)), state, file)


def read_generator(file: Path, geometry: Geometry) -> Generator:
    """The generator, its averaged weights. Raises UnusableData, as `read_state` and `fit` do."""
    state = read_state(file, key="model_ema")
    size = _sized(file, partial(_generator_size, geometry=geometry), state)
    if size.tokens != state["diffusion_pos_embed_learned"].shape[1]:
        raise UnusableData(
            f"{file.name} draws {state['diffusion_pos_embed_learned'].shape[1]} tokens, the "
            f"published generator {size.tokens}: give the published file"
        )
    return fit(lambda: Generator(size, DiffusionHead(size.head)), state, file)


def read_autoencoder(file: Path) -> Autoencoder:
    """The autoencoder with its adversary. Raises UnusableData, as `read_state` and `fit` do."""
    # The perceptual loss is an image classifier that only its training needs.
    state = read_state(file, without="loss.perceptual_loss")
    size = _sized(file, _autoencoder_size, state)
    return fit(partial(Autoencoder, size), state, file)


def _ecg_size(state: State, geometry: Geometry) -> EcgEncoderSize:
    patch = len(state["to_patch_embedding.1.weight"])
    _, places, width = state["pos_embedding"].shape
    return EcgEncoderSize(
        seq_len=(places - 2) * patch,  # two separators
        patch=patch,
        leads=_count(state, "lead_embeddings.{}"),
        width=width,
        depth=_count(state, "block{}.attn.norm.weight"),
        heads=_heads(state["block0.attn.fn.to_qkv.weight"].shape[0] // 3, geometry.ecg_head),
        dim_head=geometry.ecg_head,
        mlp=state["block0.ff.fn.net.0.weight"].shape[0],
    )


def _head_shape(state: State) -> tuple[int, int]:
    """Outputs and inputs of an encoder's linear head."""
    outputs, inputs = state["head.weight"].shape
    return outputs, inputs


def _generator_size(state: State, geometry: Geometry) -> MarSize:
    width, token = state["z_proj.weight"].shape
    tokens = state["diffusion_pos_embed_learned"].shape[1]
    return MarSize(
        latent=(token // prod(geometry.patch), *geometry.latent),
        patch=geometry.patch,
        condition=state["ecg_emb.0.weight"].shape[1],
        buffer=state["encoder_pos_embed_learned"].shape[1] - tokens,
        width=width,
        heads=_heads(width, geometry.generator_head),
        encoder_depth=_count(state, "encoder_blocks.{}.norm1.weight"),
        decoder_depth=_count(state, "decoder_blocks.{}.norm1.weight"),
        mlp=state["encoder_blocks.0.mlp.fc1.weight"].shape[0],
        head_width=state["diffloss.net.input_proj.weight"].shape[0],
        head_depth=_count(state, "diffloss.net.res_blocks.{}.in_ln.weight"),
    )


def _autoencoder_size(state: State) -> AutoencoderSize:
    channels = state["encoder_3d.conv_in.weight"].shape[0]
    levels = _count(state, "encoder_3d.down.{}.block.0.conv1.weight")
    adversary = state.get("loss.discriminator.main.0.weight")
    return AutoencoderSize(
        channels=channels,
        multipliers=tuple(
            state[f"encoder_3d.down.{level}.block.0.conv1.weight"].shape[0] // channels
            for level in range(levels)
        ),
        residual_blocks=_count(state, "encoder_3d.down.0.block.{}.conv1.weight"),
        latent_channels=state["post_quant_conv.weight"].shape[0],
        time_downsamplings=sum(
            state[f"encoder_3d.down.{level}.downsample.conv.weight"].shape[2] == 3
            for level in range(levels - 1)
        ),
        discriminator_channels=None if adversary is None else adversary.shape[0],
        cine_channels=state["encoder_3d.conv_in.weight"].shape[1],
    )


def _sized(file: Path, size_of: Callable[[State], Size], state: State) -> Size:
    """Raises UnusableData (a tensor that the size follows from is not there or fits nothing)."""
    try:
        return size_of(state)
    except KeyError as error:
        raise UnusableData(
            f"{file.name} lacks {error.args[0]}: it is not the published network's"
        ) from error
    except (ValueError, ZeroDivisionError) as error:
        raise UnusableData(f"{file.name}: {error}; it is not the published network's") from error


def _heads(width: int, head: int) -> int:
    if width < head or width % head:
        raise ValueError(f"a width of {width} is not made of attention heads of {head}")
    return width // head


def _count(state: State, pattern: str) -> int:
    """How many names there are of a pattern whose number counts from 0."""
    number = 0
    while pattern.format(number) in state:
        number += 1
    return number
