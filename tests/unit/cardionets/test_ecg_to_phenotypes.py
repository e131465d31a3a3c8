"""A long ECG is seen through windows, each behind its beat."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.cardionets.ecg_encoder import EcgEncoderSize
from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.training.stage import ecg_windows

SIZE = EcgEncoderSize(seq_len=300, patch=75, width=32, depth=1, heads=2, dim_head=16, mlp=32)
BEAT = replace(SIZE, beat_patches=1)


def test_a_window_is_the_beat_and_then_the_rhythm_from_its_start() -> None:
    assert BEAT.window(10) == [slice(0, 75), slice(85, 310)]
    assert SIZE.window(10) == [slice(10, 310)]


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        (BEAT, [[*range(75), *range(75, 300)], [*range(75), *range(300, 525)]]),
        (SIZE, [[*range(300)], [*range(225, 525)]]),
    ],
)
def test_the_windows_cover_the_ecg_and_their_features_are_averaged(
    size: EcgEncoderSize, seen: list[list[int]]
) -> None:
    torch.manual_seed(3)
    network = EcgToPhenotypes(size, targets=3, diseases=2).eval()
    ecg, subject = torch.randn(2, 12, 525), torch.randn(2, 8)
    with torch.no_grad():
        feature = torch.stack([network.encoder(ecg[:, :, window]) for window in seen]).mean(dim=0)
        trunk = network.trunk(torch.cat([feature, subject], dim=1))
        condition = network(ecg, subject).condition
    assert torch.allclose(condition, torch.cat([trunk, subject], dim=1), atol=1e-6)


def test_an_ecg_as_long_as_the_window_is_seen_once() -> None:
    whole = replace(SIZE, beat_patches=4)
    network = EcgToPhenotypes(whole, targets=3, diseases=2).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 12, 300), torch.zeros(1, 8)).mean.shape == (1, 3)


def test_training_takes_its_windows_behind_the_beat_too() -> None:
    ecg = np.arange(2 * 12 * 525, dtype=np.float32).reshape(2, 12, 525)
    chance = np.random.Generator(np.random.Philox(1))
    windows = ecg_windows(ecg, np.array([1, 0]), BEAT, chance).numpy()  # type: ignore[arg-type]
    assert np.array_equal(windows[:, :, :75], ecg[[1, 0], :, :75])
    steps = np.diff(windows[:, :, 75:], axis=2)
    assert (steps == 1.0).all() and (windows[:, 0, 75] >= ecg[[1, 0], 0, 75]).all()
