"""The pre-norm transformer that the family's networks share.

`attend` is one attention for all of them; `VitBlock` has the parameter names of the vision
transformers (CMR encoder, fusion, decoders). The ECG encoder's blocks have names of their own.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Multi-head attention of (B, N, 3 * I) queries, keys and values: (B, N, I).

    Along the last axis lie q, k and v, each of them head by head.
    """
    batch, tokens, _ = qkv.shape
    q, k, v = qkv.view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)  # 3 x (B, heads, N, d)
    mixed = functional.scaled_dot_product_attention(q, k, v)  # (B, heads, N, d)
    return mixed.transpose(1, 2).flatten(2)  # (B, N, I)


def initialise(module: nn.Module) -> None:
    """Start of a training, for `module.apply`: Xavier for linear layers, biases at zero."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class VitBlock(nn.Module):
    """x += attention(norm x); x += mlp(norm x): (B, N, W) to (B, N, W)."""

    def __init__(self, width: int, heads: int, mlp: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = _Mlp(width, mlp)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(attend(self.qkv(x), self.heads))


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))
