"""Features that need no network: their number, their meaning, and that chunks do not show."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation import ecg_features as module
from pipelines.evaluation.ecg_features import QUANTILES, ecg_features


def test_a_sine_has_the_quantiles_of_its_arcsine_law_and_its_power_in_one_band() -> None:
    time = np.arange(2500) / 250.0
    ecg = np.zeros((1, 12, 2500), np.float32)
    ecg[0, 3] = 2.0 * np.sin(2.0 * np.pi * 10.0 * time)
    features = ecg_features(ecg, np.array([61.0]))[0]
    assert features.size == 505
    levels = features[3 * 15 : 4 * 15]
    assert levels == pytest.approx(-2.0 * np.cos(np.pi * QUANTILES), abs=0.1)  # 25 samples a period
    assert features[:45] == pytest.approx(np.zeros(45))
    bands = features[360:504].reshape(12, 12)
    # 10 Hz is bin 100 of 0.1 Hz; bands start at bin 5 and hold 33.
    assert int(bands[3].argmax()) == (100 - 5) // 33
    assert np.sort(bands[3])[-2] < bands[3].max() - 10.0
    assert features[-1] == 61.0


def test_features_do_not_depend_on_the_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.Generator(np.random.Philox(2))
    ecg = generator.standard_normal((7, 12, 2500)).astype(np.float16)
    rate = np.full(7, 60.0, np.float32)
    whole = ecg_features(ecg, rate)
    monkeypatch.setattr(module, "CHUNK", 3)
    assert np.array_equal(whole, ecg_features(ecg, rate))
