"""The generator: draws a cine's latent from an ECG's condition, token after token.

A masked autoregressive transformer (the trunk) says for each token of the latent a vector z, and a
head draws the token's values from it. The trunk is told places, not masks: known tokens stand in
the order they were drawn in, their positions follow them, so a step needs no scatter and no mask.
Layers and names are those of the published checkpoint.
Sources: Li et al. 2024 (MAR); Ding et al. 2026.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from pipelines.autoregression import AutoregressiveSchedule
from pipelines.cardionets.denoiser import Guidance, HeadSize
from pipelines.cardionets.diffusion import DiffusionHead
from pipelines.cardionets.flow import FlowHead
from pipelines.cardionets.transformer import VitBlock, initialise

NORM_EPS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class MarSize:
    """latent: (channels, t, h, w); patch: (t, h, w) places of it that are one token.

    condition: width of the ECG's embedding; buffer: how many tokens carry it; mlp: hidden width.
    """

    latent: tuple[int, int, int, int]
    patch: tuple[int, int, int]
    condition: int
    buffer: int
    width: int
    heads: int
    encoder_depth: int
    decoder_depth: int
    mlp: int
    head_width: int
    head_depth: int

    def __post_init__(self) -> None:
        if any(side % part for side, part in zip(self.latent[1:], self.patch, strict=True)):
            raise ValueError("the latent must be a whole number of patches along every axis")

    @property
    def tokens(self) -> int:
        return math.prod(
            side // part for side, part in zip(self.latent[1:], self.patch, strict=True)
        )

    @property
    def token(self) -> int:
        """Values of one token."""
        return self.latent[0] * math.prod(self.patch)

    @property
    def head(self) -> HeadSize:
        return HeadSize(
            token=self.token, condition=self.width, width=self.head_width, depth=self.head_depth
        )


PUBLISHED = MarSize(
    latent=(16, 25, 12, 12),
    patch=(5, 2, 2),
    condition=256,
    buffer=64,
    width=768,
    heads=12,
    encoder_depth=12,
    decoder_depth=12,
    mlp=3072,
    head_width=1024,
    head_depth=3,
)


def patchify(latent: Tensor, size: MarSize) -> Tensor:
    """(B, c, t, h, w) to tokens (B, L, c*p*q*r), in raster order over time, rows, columns."""
    c, t, h, w = size.latent
    p, q, r = size.patch
    x = latent.reshape(-1, c, t // p, p, h // q, q, w // r, r)
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7)  # (B, t/p, h/q, w/r, c, p, q, r)
    return x.reshape(-1, size.tokens, size.token)


def unpatchify(tokens: Tensor, size: MarSize) -> Tensor:
    """The inverse of `patchify`."""
    c, t, h, w = size.latent
    p, q, r = size.patch
    x = tokens.reshape(-1, t // p, h // q, w // r, c, p, q, r)
    x = x.permute(0, 4, 1, 5, 2, 6, 3, 7)  # (B, c, t/p, p, h/q, q, w/r, r)
    return x.reshape(-1, c, t, h, w)


def at_places(tokens: Tensor, places: Tensor) -> Tensor:
    """Of (B, L, C) the tokens at places (B, K): (B, K, C)."""
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


class Head(Protocol):
    """Draws tokens; `partial(head.sample, steps=…)` of either head is one."""

    def __call__(self, z: Tensor, noise: Tensor, guidance: Guidance | None, /) -> Tensor: ...


class Drawn(NamedTuple):
    """One step: the places drawn (B, M), the z they were drawn from (B, M, W), their tokens."""

    places: Tensor
    z: Tensor
    tokens: Tensor


class Generator(nn.Module):
    """Trunk and head. The head is under `diffloss`, its name in the published file."""

    def __init__(self, size: MarSize, head: DiffusionHead | FlowHead) -> None:
        super().__init__()
        self.size = size
        w, places = size.width, size.buffer + size.tokens
        self.fake_latent = _small(1, w)
        self.fake_rep_latent = _small(1, w)  # in the published file, without effect
        self.encoder_pos_embed_learned = _small(1, places, w)
        self.mask_token = _small(1, 1, w)
        self.decoder_pos_embed_learned = _small(1, places, w)
        self.diffusion_pos_embed_learned = _small(1, size.tokens, w)
        self.ecg_emb = nn.Sequential(nn.Linear(size.condition, w), nn.Linear(w, w))
        self.rep_embedder = nn.Linear(w, w)  # in the published file, without effect
        self.z_proj = nn.Linear(size.token, w)
        self.z_proj_ln = nn.LayerNorm(w, eps=NORM_EPS)
        self.encoder_blocks = _blocks(size, size.encoder_depth)
        self.encoder_norm = nn.LayerNorm(w, eps=NORM_EPS)
        self.decoder_embed = nn.Linear(w, w)
        self.decoder_blocks = _blocks(size, size.decoder_depth)
        self.decoder_norm = nn.LayerNorm(w, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(w, size.token)  # for an optional loss of the published code
        self.apply(initialise)
        self.diffloss = head

    def embed(self, condition: Tensor, dropped: Tensor) -> Tensor:
        """(B, condition) to (B, W); where dropped (B,) is true, the embedding of no condition."""
        return torch.where(dropped[:, None], self.fake_latent, self.ecg_emb(condition))

    def encode(self, tokens: Tensor, known: Tensor, embedding: Tensor) -> Tensor:
        """Known tokens (B, K, C) at places (B, K): (B, buffer + K, W)."""
        x = self.z_proj(tokens)  # (B, K, W)
        buffer = embedding[:, None].expand(-1, self.size.buffer, -1)  # (B, buffer, W)
        x = torch.cat([buffer, x], dim=1)  # (B, buffer+K, W)
        x = self.z_proj_ln(x + self._positions(self.encoder_pos_embed_learned, known))
        return self.encoder_norm(self.encoder_blocks(x))

    def decode(self, encoded: Tensor, known: Tensor, masked: Tensor) -> Tensor:
        """What is said of the places known (B, K) and masked (B, M): (B, K + M, W)."""
        places = torch.cat([known, masked], dim=1)  # (B, K+M)
        masks = self.mask_token.expand(*masked.shape, -1)  # (B, M, W)
        x = torch.cat([self.decoder_embed(encoded), masks], dim=1)  # (B, buffer+K+M, W)
        x = x + self._positions(self.decoder_pos_embed_learned, places)
        return self.decoder_norm(self.decoder_blocks(x))[:, self.size.buffer :]  # (B, K+M, W)

    def locate(self, decoded: Tensor, places: Tensor) -> Tensor:
        """z (B, N, W): what is said of the places, with the places themselves."""
        return decoded + self.diffusion_pos_embed_learned[0][places]

    def forward(
        self, tokens: Tensor, known: Tensor, masked: Tensor, condition: Tensor, dropped: Tensor
    ) -> Tensor:
        """z of the masked places (B, M, W), given known tokens (B, K, C).

        Places are given in any order. As published, masked are all places not known, and those
        that are not asked for now only cost time; a generator trained so may see the next alone.
        """
        encoded = self.encode(tokens, known, self.embed(condition, dropped))
        decoded = self.decode(encoded, known, masked)[:, known.shape[1] :]  # (B, M, W)
        return self.locate(decoded, masked)

    def loss(
        self,
        latent: Tensor,
        condition: Tensor,
        dropped: Tensor,
        *,
        known: Tensor,
        masked: Tensor,
        t: Tensor,
        noise: Tensor,
    ) -> Tensor:
        """The head's loss, mean over the masked places (B, M) of a latent (B, c, t, h, w).

        t: (R*B*M,) and noise: (R*B*M, C), for the head: each z, dear to make, is used R times.
        """
        tokens = patchify(latent, self.size)  # (B, L, C)
        z = self(at_places(tokens, known), known, masked, condition, dropped).flatten(0, 1)
        wanted = at_places(tokens, masked).flatten(0, 1)  # (B*M, C)
        uses = len(t) // len(z)
        return self.diffloss.loss(wanted.repeat(uses, 1), z.repeat(uses, 1), t, noise).mean()

    def draw(
        self,
        condition: Tensor,
        order: Tensor,
        noise: Tensor,
        head: Head,
        *,
        schedule: AutoregressiveSchedule,
        scales: tuple[float, ...] | None = None,
        conditional: bool = True,
        next_only: bool = False,
    ) -> Iterator[Drawn]:
        """Step by step, all tokens of B latents.

        order: (B, L) places, the first drawn first. noise: (B, L, draws, C), each place its own.
        scales: guidance of every step; None is no guidance. next_only: the decoder sees the known
        and the next places alone; published: all of them.
        """
        none = torch.full((len(order),), not conditional, device=order.device)
        tokens, done = noise[:, :0, 0], 0  # (B, 0, C)
        for step, count in enumerate(schedule.drawn):
            if count == 0:  # more steps than tokens
                continue
            known, places = order[:, :done], order[:, done : done + count]  # (B, K), (B, M)
            masked = places if next_only else order[:, done:]
            z = self(tokens, known, masked, condition, none)[:, :count]  # (B, M, W)
            guidance = None
            if scales is not None:
                null_z = self(tokens, known, masked, condition, torch.ones_like(none))[:, :count]
                guidance = Guidance(null_z.flatten(0, 1), scales[step])
            own = noise[torch.arange(len(order), device=order.device)[:, None], places]
            drawn = head(z.flatten(0, 1), own.flatten(0, 1), guidance)  # (B*M, C)
            drawn = drawn.reshape(*places.shape, -1)  # (B, M, C)
            yield Drawn(places, z, drawn)
            tokens, done = torch.cat([tokens, drawn], dim=1), done + count  # (B, K+M, C)

    def assemble(self, steps: list[Drawn]) -> Tensor:
        """The latent (B, c, t, h, w) that the steps of `draw` drew."""
        places = torch.cat([step.places for step in steps], dim=1)  # (B, L)
        tokens = torch.cat([step.tokens for step in steps], dim=1)  # (B, L, C), as drawn
        return unpatchify(at_places(tokens, places.argsort(dim=1)), self.size)

    def _positions(self, embedding: Tensor, places: Tensor) -> Tensor:
        """Of (1, buffer + L, W) the rows of the buffer and of places (B, K): (B, buffer + K, W)."""
        buffer = embedding[:, : self.size.buffer].expand(places.shape[0], -1, -1)
        return torch.cat([buffer, embedding[0, self.size.buffer :][places]], dim=1)


def _small(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.02)


def _blocks(size: MarSize, depth: int) -> nn.Sequential:
    return nn.Sequential(
        *(VitBlock(size.width, size.heads, size.mlp, NORM_EPS) for _ in range(depth))
    )
