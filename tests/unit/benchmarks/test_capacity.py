"""The simulation of hosts gives what queueing theory gives where that has a formula."""

from __future__ import annotations

import pytest

from benchmarks.load.capacity import Host, waits
from benchmarks.load.carts import arrivals

MANY = 40_000


def mean_wait(host: Host, hosts: int, load: float) -> float:
    """Of Poisson arrivals at so much of what the hosts can do."""
    a_second = load * host.a_second * hosts
    found = waits(arrivals(a_second, MANY / a_second, seed=5, is_morning=False), host, hosts)
    return sum(found) / len(found)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_after_the_other_is_the_queue_of_pollaczek_and_khinchine(load: float) -> None:
    host = Host(alone_s=2.0, a_second=0.5, at_once=1)
    expected = 2.0 * (1 + load / (2 * (1 - load)))  # M/D/1
    assert mean_wait(host, 1, load) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_all_side_by_side_is_processor_sharing(load: float) -> None:
    host = Host(alone_s=2.0, a_second=0.5, at_once=10_000)
    assert mean_wait(host, 1, load) == pytest.approx(2.0 / (1 - load), rel=0.06)


def test_hosts_with_nothing_to_do_answer_as_alone() -> None:
    host = Host(alone_s=1.5, a_second=1.0, at_once=3)
    assert waits([0.0, 0.1, 0.2, 0.3], host, 4) == pytest.approx([1.5] * 4)


def test_what_shares_a_processor_takes_longer_and_what_waits_waits() -> None:
    host = Host(alone_s=1.0, a_second=1.0, at_once=2)
    assert waits([0.0, 0.0, 0.0], host, 1) == pytest.approx([2.0, 2.0, 3.0])


def test_a_queue_in_common_is_better_than_one_each() -> None:
    host = Host(alone_s=1.0, a_second=1.0, at_once=1)
    assert mean_wait(host, 8, 0.8) < 0.6 * mean_wait(host, 1, 0.8)
