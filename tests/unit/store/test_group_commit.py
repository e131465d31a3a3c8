"""What waits is committed together, and whoever fails fails alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from node.store.group_commit import GroupCommit


class Ledger:
    """Transactions of a list: entries are in it once their block has ended without error."""

    def __init__(self) -> None:
        self.commits: list[list[int]] = []
        self.hold = threading.Event()
        self.hold.set()
        self.fails = False

    @contextmanager
    def begin(self) -> Iterator[list[int]]:
        entries: list[int] = []
        yield entries
        self.hold.wait(10.0)
        if self.fails:
            raise OSError("the disk is gone")
        self.commits.append(entries)

    @property
    def entries(self) -> list[int]:
        return [entry for commit in self.commits for entry in commit]


def enter(number: int) -> object:
    def entering(entries: list[int]) -> int:
        if number < 0:
            raise ValueError(number)
        entries.append(number)
        return 10 * number

    return entering


def crowd(ledger: Ledger, numbers: list[int]) -> list[object]:
    """What each number was given or failed with; they come while the first is being committed."""
    together = GroupCommit(ledger.begin)

    def one(number: int) -> object:
        try:
            return together(enter(number))  # type: ignore[arg-type]
        except Exception as failure:
            return type(failure)

    with ThreadPoolExecutor(len(numbers)) as pool:
        ledger.hold.clear()
        told = [pool.submit(one, number) for number in numbers]
        threading.Timer(0.2, ledger.hold.set).start()
        return [each.result(10.0) for each in told]


def test_those_that_wait_for_a_commit_share_the_next() -> None:
    ledger = Ledger()
    assert crowd(ledger, [*range(200)]) == [10 * number for number in range(200)]
    assert sorted(ledger.entries) == [*range(200)]
    assert len(ledger.commits) < 20


def test_one_that_fails_takes_nobody_with_it() -> None:
    ledger = Ledger()
    told = crowd(ledger, [1, 2, -3, 4, 5])
    assert told == [10, 20, ValueError, 40, 50]
    assert sorted(ledger.entries) == [1, 2, 4, 5]


def test_a_commit_that_fails_is_told_to_all_and_the_next_goes_on() -> None:
    ledger = Ledger()
    ledger.fails = True
    assert crowd(ledger, [1, 2, 3]) == [OSError] * 3
    assert ledger.entries == []
    ledger.fails = False
    assert crowd(ledger, [4]) == [40]


def test_a_lone_entry_that_fails_is_tried_once() -> None:
    tries: list[int] = []

    def failing(_: list[int]) -> None:
        tries.append(1)
        raise ValueError

    with pytest.raises(ValueError):
        GroupCommit(Ledger().begin)(failing)
    assert len(tries) == 1
