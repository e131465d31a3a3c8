"""Stage 2: train the cine decoder on the simulated pairs of anatomy and cine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.cardionets.cine_decoder import CineDecoder, phase_features
from pipelines.training.cohort import Cohort
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.targets import Targets

ANATOMY_NOISE = 0.05
"""Standard deviations: an estimated anatomy lies beside the simulated ones."""
Report = Callable[[float, str], None]
"""Told the share that is done and the latest loss."""


def train_cine(
    cohort: Cohort,
    targets: Targets,
    configuration: TrainingConfiguration,
    checkpoint: Path,
    report: Report,
) -> CineDecoder:
    """Train for the configured steps; the weights are in `checkpoint` at the end."""
    settings, sizes = configuration.cine, configuration.cohort
    rng = np.random.Generator(np.random.Philox(configuration.seed))
    torch.manual_seed(configuration.seed)
    anatomy = torch.from_numpy(targets.standardised[: sizes.train_cines])
    decoder = CineDecoder(anatomy.shape[1])
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=settings.learning_rate)
    for step in range(settings.steps):
        share = step / settings.steps
        set_rate(optimiser, settings.learning_rate, share)
        subjects = rng.choice(sizes.train_cines, settings.batch, replace=False)
        frames = rng.integers(0, cohort.cine.shape[1], (settings.batch, settings.frames))
        wanted = torch.from_numpy(cohort.cine[subjects[:, None], frames]).flatten(0, 1) / 255.0
        given = anatomy[subjects].repeat_interleave(settings.frames, dim=0)
        given = given + ANATOMY_NOISE * torch.randn_like(given)
        phase = phase_features(torch.from_numpy(frames.ravel() / cohort.cine.shape[1]).float())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            drawn = decoder(given, phase)
        loss = picture_loss(drawn.float(), wanted)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimiser.step()
        if step % 25 == 0:
            report(share, f"step {step} loss {loss.item():.4f}")
    torch.save(decoder.state_dict(), checkpoint)
    return decoder.eval()


def picture_loss(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute error of picture, edges and, doubled, 4 x 4 means. drawn, wanted: (n, H, W)."""
    error = drawn - wanted
    across, down = error[:, :, 1:] - error[:, :, :-1], error[:, 1:] - error[:, :-1]
    smooth = functional.avg_pool2d(error[:, None], 4)
    return error.abs().mean() + across.abs().mean() + down.abs().mean() + 2.0 * smooth.abs().mean()


def set_rate(optimiser: torch.optim.Optimizer, peak: float, share: float) -> None:
    """Warm up over the first 3 % of the steps, then fall as a cosine."""
    warm = min(1.0, share / 0.03 + 0.02)
    rate = peak * warm * 0.5 * (1.0 + np.cos(np.pi * share))
    for group in optimiser.param_groups:
        group["lr"] = rate
