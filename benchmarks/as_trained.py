"""Networks in the form in which they are trained, where a bundle serves them in a quicker one.

A file of its own: a new process that loads them in torch imports nothing else with them.
"""

from __future__ import annotations

from torch import Tensor, nn

from pipelines.cardionets.autoencoder import Autoencoder


class DecoderAsTrained(nn.Module):
    """A latent (n, c, t, h, w) to the frames (n, t, h, w) of its cine in [-1, 1]."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: Tensor) -> Tensor:
        return self.autoencoder.decode(latent).clamp(-1.0, 1.0)[:, 0]
