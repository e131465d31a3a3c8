"""Who steps back does so alone, with what it starts."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from node.engine.niceness import TURN_S, shorten_turns, step_back


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have their own on Linux alone")
def test_a_thread_that_steps_back_takes_along_what_it_starts_and_nobody_else() -> None:
    before, found = niceness(), list[int]()

    def start_another() -> None:
        step_back()
        found.append(niceness())
        another = threading.Thread(target=lambda: found.append(niceness()))
        another.start()
        another.join()

    stepping = threading.Thread(target=start_another)
    stepping.start()
    stepping.join()
    assert found == [max(before, 10)] * 2
    assert niceness() == before


def test_turns_of_threads_are_short_once_the_node_serves() -> None:
    before = sys.getswitchinterval()
    try:
        shorten_turns()
        assert sys.getswitchinterval() == pytest.approx(TURN_S)
    finally:
        sys.setswitchinterval(before)
