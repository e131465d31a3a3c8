"""Distributions and ratios of times that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.effort import QUICK
from benchmarks.timing import Wall, least_cpu, ratio, take_turns


def test_percentiles_lie_between_the_values_around_them() -> None:
    taken = Wall.of([0.1 * number for number in range(1, 12)])  # 0.1 … 1.1 s
    assert taken.p50_s == pytest.approx(0.6)
    assert taken.p95_s == pytest.approx(1.05)
    assert taken.least_s == pytest.approx(0.1)
    assert taken.count == 11


def test_a_ratio_says_how_many_times_as_much_the_peer_costs() -> None:
    assert ratio(3.0, 1.5) == 2.0


def test_peers_take_turns_and_the_first_call_of_a_turn_is_not_counted() -> None:
    calls: list[tuple[str, int]] = []
    taken = take_turns(
        {name: lambda call, name=name: calls.append((name, call)) for name in "ab"},
        replace(QUICK, answers=4, rounds=2),
    )
    assert [name for name, _ in calls] == ["a"] * 3 + ["b"] * 3 + ["a"] * 3 + ["b"] * 3
    assert [call for name, call in calls if name == "a"] == [0, 0, 1, 0, 2, 3]
    assert taken["a"].count == 4


def test_the_least_cpu_time_leaves_the_first_call_out() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(0)
        sum(range(2_000_000 if len(calls) == 1 else 10))

    least = least_cpu({"work": work}, replace(QUICK, repeats=3, graph_s=10.0))
    assert len(calls) == 4
    assert least["work"] < 0.01


def test_a_work_that_takes_all_the_time_is_called_once() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(sum(range(200_000)))

    assert least_cpu({"work": work}, replace(QUICK, repeats=3, graph_s=0.0))["work"] > 0.0
    assert len(calls) == 1
