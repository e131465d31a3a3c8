"""Entries of many threads in one transaction: one commit, and one fsync, for all that waited."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

_MOST_TOGETHER: Final = 64
"""Bounds what one failure has to be done again."""


@dataclass(slots=True)
class _Entry(Generic[Given]):
    enter: Callable[[Given], object]
    is_settled: bool = False
    made: object = None
    failure: BaseException | None = field(default=None, repr=False)


class GroupCommit(Generic[Given]):
    """Commits what waits together.

    The first thread that comes commits alone; those that come meanwhile wait, and the next of them
    enters for all. Nobody waits for somebody to come.
    """

    def __init__(self, begin: Callable[[], AbstractContextManager[Given]]) -> None:
        """`begin` opens a transaction, committed when the block has ended without error."""
        self._begin = begin
        self._committing = threading.Lock()
        self._waiting: list[_Entry[Given]] = []
        self._adding = threading.Lock()

    def __call__(self, enter: Callable[[Given], Made]) -> Made:
        """What `enter` gives, once that is committed; it may be called twice, in any thread.

        Raises what `enter` or the commit of its transaction raises; others are not touched by it.
        """
        entry = _Entry(enter)
        with self._adding:
            self._waiting.append(entry)
        with self._committing:
            while not entry.is_settled:
                self._settle(self._next())
        if entry.failure is not None:
            raise entry.failure
        return entry.made  # type: ignore[return-value]

    def _next(self) -> list[_Entry[Given]]:
        with self._adding:
            batch = self._waiting[:_MOST_TOGETHER]
            del self._waiting[:_MOST_TOGETHER]
        return batch

    def _settle(self, batch: list[_Entry[Given]]) -> None:
        try:
            self._enter(batch)
        except BaseException as failure:  # whatever it is: those that wait are told
            if len(batch) == 1:
                batch[0].failure, batch[0].is_settled = failure, True
            else:  # nothing of it is committed: each alone, so that only the one at fault fails
                for entry in batch:
                    self._settle([entry])

    def _enter(self, batch: list[_Entry[Given]]) -> None:
        with self._begin() as transaction:
            made = [entry.enter(transaction) for entry in batch]
        for entry, result in zip(batch, made, strict=True):
            entry.made = result
            entry.is_settled = True
