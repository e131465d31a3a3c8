"""Who makes results steps back: on a busy machine who waits on the network goes first."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final

_NICE: Final = 10
"""A tenth of the processor's time that a thread beside it has."""
TURN_S: Final = 0.0005
"""Python's own is 5 ms, which an association waits for a dozen times."""


def step_back() -> None:
    """Have this thread, and those that it starts, be scheduled after others. There is no way back.

    On Linux alone: elsewhere it would be the whole process.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it, and it is no more than a courtesy
            thread = threading.get_native_id()
            nice = max(_NICE, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, nice)


def shorten_turns() -> None:
    """Have a thread that computes in Python give way after TURN_S to one that wants to go on."""
    sys.setswitchinterval(TURN_S)
