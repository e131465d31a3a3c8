"""Comparisons in pairs: the shuffle, shares, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.evaluation.bootstrap import resamples
from pipelines.evaluation.comparison import (
    Row,
    derange,
    difference_of,
    mean_of,
    ratio_of,
    share_of,
    table,
)


@pytest.mark.parametrize("count", [2, 3, 7, 400])
def test_nobody_keeps_the_own_ecg_and_every_ecg_is_used_once(count: int) -> None:
    order = derange(count, seed=1)
    assert not np.any(order == np.arange(count))
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, derange(count, seed=1))


def test_one_subject_cannot_be_shuffled() -> None:
    with pytest.raises(ValueError, match="one subject alone"):
        derange(1, seed=1)


def test_all_cycles_are_equally_likely() -> None:
    """Three subjects have two cycles."""
    forward = sum(derange(3, seed=seed)[0] == 1 for seed in range(400))
    assert 160 <= forward <= 240  # 4 standard deviations


def test_a_share_is_the_ratio_of_mean_differences() -> None:
    weights = resamples(3, seed=1, count=50)
    own, shuffled = np.array([0.6, 0.8, 0.7]), np.array([0.5, 0.5, 0.5])
    best, blind = np.array([0.9, 0.9, 0.9]), np.array([0.5, 0.5, 0.5])
    assert share_of(weights, (own, shuffled), (best, blind)).value == pytest.approx(0.5)
    assert ratio_of(weights, own, best).value == pytest.approx(0.7 / 0.9)


def test_pairs_are_compared_more_sharply_than_their_means() -> None:
    chance = np.random.Generator(np.random.Philox(2))
    subject = chance.standard_normal(200)
    better, worse = subject + 0.1, subject + 0.02 * chance.standard_normal(200)
    weights = resamples(200, seed=3)
    gain, alone = difference_of(weights, better, worse), mean_of(weights, better)
    assert gain.low > 0.09
    assert gain.high - gain.low < 0.1 * (alone.high - alone.low)


def test_an_interval_of_95_percent_covers_the_truth_about_so_often() -> None:
    """Of 200 samples 190 are expected, with a standard deviation of 3."""
    chance = np.random.Generator(np.random.Philox(4))
    weights = resamples(60, seed=5, count=400)
    held = 0
    for _ in range(200):
        own, shuffled = chance.normal((0.8, 0.5), 0.2, (60, 2)).T
        best, blind = chance.normal((1.1, 0.5), 0.2, (60, 2)).T
        found = share_of(weights, (own, shuffled), (best, blind))  # truth: 0.3 / 0.6
        held += found.low <= 0.5 <= found.high
    assert 176 <= held <= 199


def test_a_table_says_what_its_figures_depend_on() -> None:
    rows = [
        Row(name="mean image", scores={"SSIM": np.array([0.5, 0.5])}),
        Row(name="own", scores={"SSIM": np.array([0.75, 0.75])}),
    ]
    text = table(rows, resamples(2, seed=1, count=20), nuisance="third-1", region="whole")
    lines = text.splitlines()
    assert "n = 2" in lines[0] and "third-1" in lines[0] and "whole" in lines[0]
    assert lines[2].split() == ["mean", "image", "0.500", "(0.500", "to", "0.500)"]
    assert "0.750" in lines[3]
