"""Stage 3: train the ECG network on phenotypes, heart rate and diseases."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes, Outputs
from pipelines.training.cine import Report, set_rate
from pipelines.training.cohort import Cohort
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.targets import Targets

AVERAGE = 0.998
"""Decay of the running average of the weights, which is what is kept."""
DISEASE_WEIGHT = 0.3


def train_ecg(
    cohort: Cohort,
    targets: Targets,
    configuration: TrainingConfiguration,
    checkpoint: Path,
    report: Report,
) -> EcgToPhenotypes:
    """Train for the configured steps; the averaged weights are in `checkpoint` at the end."""
    settings, train = configuration.ecg, configuration.cohort.train
    rng = np.random.Generator(np.random.Philox(configuration.seed + 1))
    torch.manual_seed(configuration.seed)
    ecg = cohort.ecg[:train].astype(np.float32)
    wanted = torch.from_numpy(targets.standardised[:train])
    labels = torch.from_numpy(cohort.diseases[:train].astype(np.float32))
    network = EcgToPhenotypes(settings.channels, wanted.shape[1], labels.shape[1])
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=0.02
    )
    for step in range(settings.steps):
        share = step / settings.steps
        set_rate(optimiser, settings.learning_rate, share)
        subjects = rng.choice(train, settings.batch, replace=False)
        signal = torch.from_numpy(_vary(ecg[subjects], rng))
        who = torch.from_numpy(_hide(cohort.subject[subjects], settings.hide_subject, rng))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = network(signal, who)
        loss = _loss(out, wanted[subjects], labels[subjects])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        _average(average, network, min(AVERAGE, step / (step + 10.0)))
        if step % 25 == 0:
            report(share, f"step {step} loss {loss.item():.3f}")
    torch.save(average.state_dict(), checkpoint)
    return average.eval()


def predict(
    network: EcgToPhenotypes, cohort: Cohort, part: slice, *, hide_subject: bool = False
) -> Outputs:
    """The network's answers for a part of the cohort, in standardised units."""
    answers = []
    with torch.inference_mode():
        for start in range(part.start, part.stop, 250):
            rows = slice(start, min(start + 250, part.stop))
            who = torch.from_numpy(np.array(cohort.subject[rows]))
            signal = torch.from_numpy(cohort.ecg[rows].astype(np.float32))
            answers.append(network(signal, torch.zeros_like(who) if hide_subject else who))
    return Outputs(*(torch.cat(each) for each in zip(*answers, strict=True)))


def _loss(out: Outputs, wanted: Tensor, labels: Tensor) -> Tensor:
    """Gaussian likelihood; the squared error beside it keeps a gradient for hard targets."""
    out = Outputs(*(each.float() for each in out))
    variance = out.log_variance.exp()
    square = (out.mean - wanted) ** 2
    likelihood = 0.5 * (square / variance + out.log_variance)
    diseases = functional.binary_cross_entropy_with_logits(out.logits, labels)
    return likelihood.mean() + square.mean() + DISEASE_WEIGHT * diseases


def _vary(
    ecg: np.ndarray[tuple[int, ...], np.dtype[np.float32]], rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Another moment of the same ECG; one batch in three ends in silence, as short records do."""
    varied = np.roll(ecg, int(rng.integers(-250, 250)), axis=2)
    if rng.random() < 1 / 3:
        varied[:, :, ecg.shape[2] - int(rng.integers(1, 250)) :] = 0.0
    return varied


def _hide(
    subject: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    chance: float,
    rng: np.random.Generator,
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Make fields unknown by chance, each alone and sometimes all: serving may not know them."""
    known = rng.random((subject.shape[0], 4)) >= chance
    known &= rng.random((subject.shape[0], 1)) >= chance / 2.0
    return subject * np.repeat(known, 2, axis=1)


def _average(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, latest in zip(
            average.state_dict().values(), network.state_dict().values(), strict=True
        ):
            if kept.dtype.is_floating_point:
                kept.mul_(decay).add_(latest, alpha=1.0 - decay)
            else:
                kept.copy_(latest)
