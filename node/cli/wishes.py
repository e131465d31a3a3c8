"""How a command that runs until it is told to stop waits to be told."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

_LOOK_EVERY_S: Final = 1.0
Wish = TypeVar("Wish")


def next_wish(wishes: SimpleQueue[Wish]) -> Wish:
    """Wait for what handlers of signals, or other threads, put into a queue.

    Of all queues this is the one that a handler may use whatever it interrupts: a threading.Event
    may be locked then by the very wait for it, for good.
    """
    while True:
        # A signal between two looks at the queue would otherwise wake nobody.
        with suppress(Empty):
            return wishes.get(timeout=_LOOK_EVERY_S)
