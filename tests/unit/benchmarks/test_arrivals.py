"""Carts come by chance, as often as they are asked to."""

from __future__ import annotations

from benchmarks.load.carts import PEAK, arrivals

SECONDS, A_SECOND = 4000.0, 0.5


def test_carts_come_as_often_as_asked_and_know_nothing_of_each_other() -> None:
    found = arrivals(A_SECOND, SECONDS, seed=1, is_morning=False)
    assert found == sorted(found)
    assert abs(len(found) - A_SECOND * SECONDS) < 4 * (A_SECOND * SECONDS) ** 0.5
    gaps = [late - early for early, late in zip([0.0, *found], found, strict=False)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert 0.9 < spread / mean < 1.1  # of an exponential distribution: 1


def test_in_the_morning_the_middle_has_the_peak_and_all_of_it_no_more() -> None:
    found = arrivals(A_SECOND, SECONDS, seed=2, is_morning=True)
    assert abs(len(found) - A_SECOND * SECONDS) < 4 * (A_SECOND * SECONDS) ** 0.5
    tenth = SECONDS / 10
    middle = sum(abs(each - SECONDS / 2) < tenth / 2 for each in found) / tenth
    first = sum(each < tenth for each in found) / tenth
    assert 0.85 < middle / (PEAK * A_SECOND) < 1.1
    assert first < 0.25 * A_SECOND


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert arrivals(1.0, 50.0, seed=3, is_morning=True) == arrivals(
        1.0, 50.0, seed=3, is_morning=True
    )
    assert arrivals(1.0, 50.0, seed=3, is_morning=False) != arrivals(
        1.0, 50.0, seed=4, is_morning=False
    )
