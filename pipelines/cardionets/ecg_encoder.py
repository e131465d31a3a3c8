"""The ECG encoder: twelve leads cut into 300 ms patches, one transformer over all of them.

Every lead is a sentence between two separator tokens; tokens of all leads attend to each other.
Published: Ding et al., NEJM AI 2026;3(4), after Na et al., ICLR 2024 (ST-MEM): ViT-B/75.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from node.ecg.median_beat import INDEPENDENT
from pipelines.cardionets.transformer import attend, initialise

AMPLITUDE_FLOOR_MV: Final = 1e-3
"""Added to a patch's spread before the logarithm: 1 µV, below any recorder's step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcgEncoderSize:
    """The encoder's geometry; `seq_len` and `patch` in samples, of 250 Hz where published."""

    seq_len: int
    patch: int
    leads: int = 12
    width: int
    depth: int
    heads: int
    dim_head: int
    mlp: int
    beat_patches: int = 0
    """Beyond the paper: of the recipe's beat in front of an ECG, with which every window begins."""
    keep_amplitude: bool = False
    """Beyond the paper: embeds the mean and spread (mV) that the norm over a patch takes away."""

    def __post_init__(self) -> None:
        if self.seq_len % self.patch:
            raise ValueError("seq_len must be a whole number of patches")

    @property
    def seen_leads(self) -> list[int]:
        """Of the standard twelve. Eight are I, II and V1 to V6: the other limb leads follow."""
        return list(INDEPENDENT if self.leads == len(INDEPENDENT) else range(self.leads))

    @property
    def beat_samples(self) -> int:
        return self.beat_patches * self.patch

    def window(self, start: int) -> list[slice]:
        """Samples of a longer ECG that are seen at once: its beat, and from `start` its rhythm."""
        first, rhythm = self.beat_samples + start, self.seq_len - self.beat_samples
        beat = [slice(0, self.beat_samples)] if self.beat_patches else []
        return [*beat, slice(first, first + rhythm)]

    @property
    def patches(self) -> int:
        """Of one lead."""
        return self.seq_len // self.patch


PUBLISHED: Final = EcgEncoderSize(
    seq_len=2250, patch=75, width=768, depth=12, heads=12, dim_head=64, mlp=3072
)


class EcgEncoder(nn.Module):
    """(B, leads, T) to what `head` makes of the pooled feature (B, W).

    T is a whole number of patches, at most `seq_len`. Without a head the feature itself is given.
    """

    def __init__(self, size: EcgEncoderSize, head: nn.Module | None = None) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.pos_embedding = nn.Parameter(torch.randn(1, size.patches + 2, width) * 0.02)
        self.sep_embedding = nn.Parameter(torch.randn(width) * 0.02)
        self.to_patch_embedding = nn.Sequential(
            nn.Identity(),  # [0] cuts the patches in the published network and has no parameters
            nn.LayerNorm(size.patch),
            nn.Linear(size.patch, width),
            nn.LayerNorm(width),
        )
        self.lead_embeddings = nn.ParameterList(
            torch.randn(width) * 0.02 for _ in range(size.leads)
        )
        for index in range(size.depth):
            self.add_module(f"block{index}", _Block(size))
        self.norm = nn.LayerNorm(width)
        self.amplitude = nn.Linear(2, width) if size.keep_amplitude else None
        self.apply(initialise)
        self.head = nn.Identity() if head is None else head

    @property
    def grid(self) -> tuple[int, int]:
        """Leads, and patches of one lead."""
        return self.size.leads, self.size.patches

    @property
    def patch_values(self) -> int:
        return self.size.patch

    def forward(self, ecg: Tensor) -> Tensor:
        return self.head(self.feature(self.latent(ecg)))

    def split(self, ecg: Tensor) -> Tensor:
        """The patches (B, leads * n, patch), lead by lead."""
        return ecg.reshape(len(ecg), -1, self.size.patch)  # (B, L*n, patch)

    def embed(self, ecg: Tensor) -> Tensor:
        """Each patch by itself: (B, leads, n, W). Raises ValueError (another number of leads)."""
        if ecg.shape[1] != self.size.leads:
            raise ValueError(f"the ECG must have {self.size.leads} leads, not {ecg.shape[1]}")
        leads = self.size.leads
        patches = ecg.reshape(len(ecg), leads, -1, self.size.patch)  # (B, L, n, patch)
        embedded = self.to_patch_embedding(patches)  # (B, L, n, W)
        if self.amplitude is None:
            return embedded
        spread = patches.std(dim=3, correction=0)  # (B, L, n)
        level = torch.stack([patches.mean(dim=3), (spread + AMPLITUDE_FLOOR_MV).log()], dim=3)
        return embedded + self.amplitude(level)  # (B, L, n, W)

    def tokens(self, embedded: Tensor) -> Tensor:
        """(B, leads, n, W) with positions, separators and leads: (B, leads * (n + 2), W)."""
        batch, leads, patches, _ = embedded.shape
        place = self.pos_embedding[0]
        inner = embedded + place[1 : patches + 1]  # (B, L, n, W)
        ends = self.sep_embedding + place[[0, -1]]  # (2, W); the last row also of a short ECG
        left, right = (end.expand(batch, leads, 1, -1) for end in ends)  # 2 x (B, L, 1, W)
        sentences = torch.cat([left, inner, right], dim=2)  # (B, L, n+2, W)
        lead = torch.stack(list(self.lead_embeddings))[:, None]  # (L, 1, W)
        return (sentences + lead).flatten(1, 2)  # (B, L*(n+2), W)

    def latent(self, ecg: Tensor) -> Tensor:
        """What the blocks make of each patch, among all others: (B, leads, n, W)."""
        tokens = self._attend(self.tokens(self.embed(ecg)))  # (B, L*(n+2), W)
        sentences = tokens.view(len(ecg), self.size.leads, -1, self.size.width)  # (B, L, n+2, W)
        return sentences[:, :, 1:-1]  # (B, L, n, W)

    def latent_of(self, ecg: Tensor, visible: Tensor) -> Tensor:
        """The patches `visible` (B, V) of `split`'s order, encoded as if no other were there.

        The separators stay among them: (B, V, W).
        """
        tokens = self.tokens(self.embed(ecg))  # (B, L*(n+2), W)
        patches = ecg.shape[2] // self.size.patch
        seen = visible + 2 * (visible // patches) + 1  # two separators a lead, one in front
        first = torch.arange(self.size.leads, device=ecg.device) * (patches + 2)  # (L,)
        ends = torch.cat([first, first + patches + 1]).expand(len(ecg), -1)  # (B, 2L)
        index = torch.cat([seen, ends], dim=1)[:, :, None]  # (B, V+2L, 1)
        kept = tokens.gather(1, index.expand(-1, -1, tokens.shape[2]))  # (B, V+2L, W)
        return self._attend(kept)[:, : visible.shape[1]]  # (B, V, W)

    def feature(self, latent: Tensor) -> Tensor:
        """The mean of all patches, normalised: (B, leads, n, W) to (B, W)."""
        return self.norm(latent.mean(dim=(1, 2)))  # (B, W)

    def _attend(self, tokens: Tensor) -> Tensor:
        for index in range(self.size.depth):
            tokens = self.get_submodule(f"block{index}")(tokens)
        return tokens


class _Block(nn.Module):
    """x += attention(norm x); x += mlp(norm x), under the published names."""

    def __init__(self, size: EcgEncoderSize) -> None:
        super().__init__()
        self.attn = _PreNorm(size.width, _Attention(size.width, size.heads, size.dim_head))
        self.ff = _PreNorm(size.width, _FeedForward(size.width, size.mlp))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(x)
        return x + self.ff(x)


class _PreNorm(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        return self.fn(self.norm(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(width, 3 * heads * dim_head)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.to_out(attend(self.to_qkv(x), self.heads))


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        # [2] is a dropout in the published network; its place gives [3] its name.
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Identity(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)
