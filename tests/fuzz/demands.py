"""What is demanded whatever comes in: an end in time, and silence about the patient."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

HANGS_AFTER_S = 10.0
TELLING = 6
"""So many characters in a row of a patient's value give it away."""


class Hang(BaseException):
    """An input took longer than it may."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def betrays(text: str, values: Iterable[str]) -> bool:
    """Whether a part of one of the patient's values stands in the text."""
    return any(
        value[at : at + TELLING] in text
        for value in values
        for at in range(len(value) - TELLING + 1)
    )
