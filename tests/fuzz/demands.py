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
    """Of the processor's time, and ten times that by the clock: others may work beside it."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, 10.0 * seconds)
    try:
        yield
    finally:
        for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL):
            signal.setitimer(timer, 0)
        for each, handler in before.items():
            signal.signal(each, handler)


def betrays(text: str, values: Iterable[str]) -> bool:
    """Whether a part of one of the patient's values stands in the text."""
    return any(
        value[at : at + TELLING] in text
        for value in values
        for at in range(len(value) - TELLING + 1)
    )
