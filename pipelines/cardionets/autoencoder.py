"""The 3-D KL autoencoder between cine and latent: the generator draws in its latent space.

Layers and names are those of the published checkpoint (`PUBLISHED`). `fold` is ours: it moves
neighbours in time and space into channels, so that a small model does no convolution at full
resolution.
Sources: Rombach et al. 2022 (KL autoencoder); Tian et al. 2024 (Reducio, its 3-D form).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.cardionets.discriminator import Adversary

NORM_EPS = 1e-6
ATTENTION_HEADS = 8
LATENT_NORM_EPS = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderSize:
    """Everything the layers' shapes depend on.

    multipliers: channels of each level over `channels`; every level but the last halves space, and
    the last `time_downsamplings` of those halve time too. fold: (t, h, w) neighbours that become
    channels before the first convolution. discriminator_channels: None leaves the adversary out.
    """

    channels: int
    multipliers: tuple[int, ...]
    residual_blocks: int
    latent_channels: int
    time_downsamplings: int
    discriminator_channels: int | None = None
    cine_channels: int = 1
    fold: tuple[int, int, int] = (1, 1, 1)
    groups: int = 32
    """Of channels that are normalised together; alone, a channel forgets how bright a cine is."""
    periodic: bool = False
    """The last frame leads into the first, as in a heart beat; published: nothing beyond either."""

    def __post_init__(self) -> None:
        if any(self.channels * each % self.groups for each in self.multipliers):
            raise ValueError(f"channels of every level must divide into {self.groups} groups")
        if not 0 <= self.time_downsamplings < len(self.multipliers):
            raise ValueError("time can only be halved where space is: between two levels")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, the finest first."""
        return tuple(self.channels * each for each in self.multipliers)

    @property
    def folded_channels(self) -> int:
        return self.cine_channels * self.fold[0] * self.fold[1] * self.fold[2]

    @property
    def stride(self) -> tuple[int, int, int]:
        """Frames, rows and columns of the cine to one place of the latent."""
        space = 2 ** (len(self.multipliers) - 1)
        t, h, w = self.fold
        return t * 2**self.time_downsamplings, h * space, w * space

    def halves_time(self, level: int) -> bool:
        """Whether the step from `level` to the next coarser one halves time as well as space."""
        return level >= len(self.multipliers) - 1 - self.time_downsamplings


PUBLISHED = AutoencoderSize(
    channels=128,
    multipliers=(1, 2, 4, 4),
    residual_blocks=2,
    latent_channels=16,
    time_downsamplings=1,
    discriminator_channels=64,
)


def fold(cine: Tensor, size: tuple[int, int, int]) -> Tensor:
    """(n, c, t, h, w) to (n, c*ft*fh*fw, t/ft, h/fh, w/fw), channels ordered (c, ft, fh, fw)."""
    n, c, t, h, w = cine.shape
    ft, fh, fw = size
    x = cine.reshape(n, c, t // ft, ft, h // fh, fh, w // fw, fw)
    x = x.permute(0, 1, 3, 5, 7, 2, 4, 6)  # (n, c, ft, fh, fw, t/ft, h/fh, w/fw)
    return x.reshape(n, c * ft * fh * fw, t // ft, h // fh, w // fw)


def unfold(folded: Tensor, size: tuple[int, int, int]) -> Tensor:
    """The inverse of `fold`."""
    n, c, t, h, w = folded.shape
    ft, fh, fw = size
    x = folded.reshape(n, c // (ft * fh * fw), ft, fh, fw, t, h, w)
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4)  # (n, c, t, ft, h, fh, w, fw)
    return x.reshape(n, c // (ft * fh * fw), t * ft, h * fh, w * fw)


def unit_latent(latent: Tensor) -> Tensor:
    """Each latent (n, c, t, h, w) to mean 0 and variance 1 over all of it: the generator's unit."""
    return functional.layer_norm(latent, latent.shape[1:], eps=LATENT_NORM_EPS)


class Posterior(NamedTuple):
    """Gaussian of the latent, mean and log variance (n, c, t, h, w)."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """(n,) Kullback-Leibler divergence from the standard normal, nats, summed over places."""
        each = self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance
        return 0.5 * each.flatten(1).sum(dim=1)


def _normalisation(channels: int, size: AutoencoderSize) -> nn.GroupNorm:
    return nn.GroupNorm(size.groups, channels, eps=NORM_EPS)


def _convolution(inputs: int, outputs: int, size: AutoencoderSize) -> nn.Conv3d:
    if size.periodic:
        return _LoopConvolution(inputs, outputs, 3, padding=(0, 1, 1))
    return nn.Conv3d(inputs, outputs, 3, padding=1)


class _LoopConvolution(nn.Conv3d):
    """Over a beat without beginning or end."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.cat([x[:, :, -1:], x, x[:, :, :1]], dim=2))  # (n, c, t, h, w)


class _NeighbourConvolution(nn.Module):
    """A `_LoopConvolution` frame by frame: the channels of the frames before and after stand beside
    its own. The same products; runtimes are quicker at planes than at volumes.
    """

    def __init__(self, trained: _LoopConvolution) -> None:
        super().__init__()
        self.weight = nn.Parameter(trained.weight.detach().transpose(1, 2).flatten(1, 2))
        self.bias = trained.bias  # weight: (outputs, 3 * inputs, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)  # (n, t, c, h, w)
        around = torch.cat(
            [torch.cat([x[:, -1:], x[:, :-1]], dim=1), x, torch.cat([x[:, 1:], x[:, :1]], dim=1)],
            dim=2,
        )  # (n, t, 3c, h, w)
        planes = functional.conv2d(around.flatten(0, 1), self.weight, self.bias, padding=1)
        n, t, _, h, w = x.shape
        return planes.reshape(n, t, -1, h, w).transpose(1, 2)  # (n, outputs, t, h, w)


class ResidualBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, size: AutoencoderSize) -> None:
        super().__init__()
        self.norm1 = _normalisation(inputs, size)
        self.conv1 = _convolution(inputs, outputs, size)
        self.norm2 = _normalisation(outputs, size)
        self.conv2 = _convolution(outputs, outputs, size)
        same = inputs == outputs
        self.nin_shortcut = nn.Identity() if same else nn.Conv3d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))  # (n, outputs, t, h, w)
        h = self.conv2(functional.silu(self.norm2(h)))
        return self.nin_shortcut(x) + h


class Attention(nn.Module):
    """Every place of the volume sees every other."""

    def __init__(self, channels: int, size: AutoencoderSize) -> None:
        super().__init__()
        self.norm = _normalisation(channels, size)
        self.q = nn.Conv3d(channels, channels, 1)
        self.k = nn.Conv3d(channels, channels, 1)
        self.v = nn.Conv3d(channels, channels, 1)
        self.proj_out = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        q, k, v = (self._heads(each(normed)) for each in (self.q, self.k, self.v))
        h = functional.scaled_dot_product_attention(q, k, v)  # (n, heads, t*h*w, c/heads)
        return x + self.proj_out(h.transpose(2, 3).reshape(x.shape))  # (n, c, t, h, w)

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        split = x.reshape(
            n, ATTENTION_HEADS, c // ATTENTION_HEADS, -1
        )  # (n, heads, c/heads, t*h*w)
        return split.transpose(2, 3)


class Downsample(nn.Module):
    """Halves space, and time if asked; pads at the end of each halved axis only."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.padding = (0, 1, 0, 1, 0, 1 if time else 0)  # w, h, t: before, after
        self.conv = nn.Conv3d(
            channels,
            channels,
            (3 if time else 1, 3, 3),
            stride=(2 if time else 1, 2, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, self.padding))  # (n, c, t or t/2, h/2, w/2)


class Upsample(nn.Module):
    """Doubles space, and time if asked."""

    def __init__(self, channels: int, size: AutoencoderSize, *, time: bool) -> None:
        super().__init__()
        self.factors = (2.0 if time else 1.0, 2.0, 2.0)
        self.conv = _convolution(channels, channels, size)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.interpolate(x, scale_factor=self.factors, mode="nearest")
        return self.conv(x)  # (n, c, t or 2t, 2h, 2w)


class _Middle(nn.Module):
    def __init__(self, channels: int, size: AutoencoderSize) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels, size)
        self.attn_1 = Attention(channels, size)
        self.block_2 = ResidualBlock(channels, channels, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class _FinerToCoarser(nn.Module):
    """One level of the encoder and the step to the next."""

    def __init__(self, size: AutoencoderSize, level: int) -> None:
        super().__init__()
        inputs, width = size.widths[max(level - 1, 0)], size.widths[level]
        self.block = nn.Sequential(
            ResidualBlock(inputs, width, size),
            *(ResidualBlock(width, width, size) for _ in range(size.residual_blocks - 1)),
        )
        last = level == len(size.widths) - 1
        self.downsample = nn.Identity() if last else Downsample(width, time=size.halves_time(level))

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.block(x))


class _CoarserToFiner(nn.Module):
    """One level of the decoder, twice as many blocks as the encoder's, and the step to the next."""

    def __init__(self, size: AutoencoderSize, level: int) -> None:
        super().__init__()
        inputs, width = size.widths[min(level + 1, len(size.widths) - 1)], size.widths[level]
        blocks = size.residual_blocks
        self.block_1 = nn.Sequential(
            ResidualBlock(inputs, width, size),
            *(ResidualBlock(width, width, size) for _ in range(blocks - 1)),
        )
        self.block_2 = nn.Sequential(*(ResidualBlock(width, width, size) for _ in range(blocks)))
        self.upsample = (
            Upsample(width, size, time=size.halves_time(level - 1)) if level > 0 else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(self.block_2(self.block_1(x)))


class _Encoder(nn.Module):
    """Folded cine to (n, 2 * latent channels, t', h', w')."""

    def __init__(self, size: AutoencoderSize) -> None:
        super().__init__()
        finest, coarsest = size.widths[0], size.widths[-1]
        self.conv_in = _convolution(size.folded_channels, finest, size)
        self.down = nn.Sequential(
            *(_FinerToCoarser(size, level) for level in range(len(size.widths)))
        )
        self.mid = _Middle(coarsest, size)
        self.norm_out = _normalisation(coarsest, size)
        self.conv_out = _convolution(coarsest, 2 * size.latent_channels, size)

    def forward(self, folded: Tensor) -> Tensor:
        x = self.mid(self.down(self.conv_in(folded)))  # (n, coarsest, t', h', w')
        return self.conv_out(functional.silu(self.norm_out(x)))


class _Decoder(nn.Module):
    """Latent to folded cine."""

    def __init__(self, size: AutoencoderSize) -> None:
        super().__init__()
        finest, coarsest = size.widths[0], size.widths[-1]
        self.conv_in = _convolution(size.latent_channels, coarsest, size)
        self.mid = _Middle(coarsest, size)
        self.up = nn.ModuleList(_CoarserToFiner(size, level) for level in range(len(size.widths)))
        self.norm_out = _normalisation(finest, size)
        self.conv_out = _convolution(finest, size.folded_channels, size)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.mid(self.conv_in(latent))  # (n, coarsest, t', h', w')
        for level in reversed(self.up):
            x = level(x)
        return self.conv_out(functional.silu(self.norm_out(x)))  # (n, folded, t/ft, h/fh, w/fw)


class Autoencoder(nn.Module):
    """Cine (n, 1, t, h, w) in [-1, 1] to latent (n, c, t', h', w') and back."""

    def __init__(self, size: AutoencoderSize) -> None:
        super().__init__()
        self.size = size
        if size.discriminator_channels is not None:
            self.loss = Adversary(
                channels=size.discriminator_channels, in_channels=size.cine_channels
            )
        self.encoder_3d = _Encoder(size)
        self.decoder = _Decoder(size)
        self.quant_conv = nn.Conv3d(2 * size.latent_channels, 2 * size.latent_channels, 1)
        self.post_quant_conv = nn.Conv3d(size.latent_channels, size.latent_channels, 1)

    def encode(self, cine: Tensor) -> Posterior:
        moments = self.quant_conv(self.encoder_3d(fold(cine, self.size.fold)))
        mean, log_variance = moments.chunk(2, dim=1)  # (n, c, t', h', w') each
        return Posterior(mean, log_variance.clamp(-30.0, 20.0))

    def decode(self, latent: Tensor) -> Tensor:
        """Not clamped: training needs the slope outside [-1, 1]."""
        return unfold(self.decoder(self.post_quant_conv(latent)), self.size.fold)

    def forward(self, cine: Tensor, noise: Tensor) -> tuple[Tensor, Posterior]:
        """The cine as it comes back and the posterior; noise: standard normal, latent-shaped."""
        posterior = self.encode(cine)
        return self.decode(unit_latent(posterior.sample(noise))), posterior


class ServedDecoder(nn.Module):
    """What a bundle serves of the decoder: a drawn latent to the cine in [-1, 1].

    A copy, in the form that is the quickest to run.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = deepcopy(autoencoder)
        for name, module in autoencoder.named_modules():
            if isinstance(module, _LoopConvolution):
                self.autoencoder.set_submodule(name, _NeighbourConvolution(module))

    def forward(self, latent: Tensor) -> Tensor:
        return torch.clamp(self.autoencoder.decode(latent), -1.0, 1.0)
