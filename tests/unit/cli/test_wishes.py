"""Being told by a signal, whatever the signal interrupts."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from node.cli.wishes import next_wish

_MOMENTS = 300
"""Some in a hundred come between two looks, which wait for ever where nothing bounds them."""
_SEED = 20261128
_PATIENCE_S = 60.0


@pytest.fixture
def alarm() -> Iterator[SimpleQueue[str]]:
    wishes: SimpleQueue[str] = SimpleQueue()
    before = signal.signal(signal.SIGALRM, lambda *_: wishes.put("heard"))
    patience = threading.Timer(_PATIENCE_S, lambda: wishes.put("not heard"))
    patience.start()
    try:
        yield wishes
    finally:
        patience.cancel()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_at_any_moment_is_heard(alarm: SimpleQueue[str]) -> None:
    moments = random.Random(_SEED)
    for _ in range(_MOMENTS):
        signal.setitimer(signal.ITIMER_REAL, moments.uniform(1e-6, 3e-5))
        assert next_wish(alarm) == "heard"
