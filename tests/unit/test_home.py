"""Who holds a home folder, and what a process is not told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.domain.errors import ConfigurationError
from node.domain.host import ALL_ROLES, HostRole
from node.home import ask_to_renew, hold_home, holders


def test_a_home_has_one_whole_node_or_one_process_of_each_role(tmp_path: Path) -> None:
    assert holders(tmp_path) == []
    whole = hold_home(tmp_path, ALL_ROLES)
    assert holders(tmp_path) == [os.getpid()]
    with pytest.raises(ConfigurationError, match="another node runs in"):
        hold_home(tmp_path, frozenset({HostRole.SEND}))
    for each in whole:
        os.close(each)
    assert holders(tmp_path) == []
    some = hold_home(tmp_path, frozenset({HostRole.SEND}))
    others = hold_home(tmp_path, frozenset({HostRole.INFER}))
    assert holders(tmp_path) == [os.getpid()]
    with pytest.raises(ConfigurationError, match="another node runs in"):
        hold_home(tmp_path, frozenset({HostRole.INFER, HostRole.WEB}))
    for each in (*some, *others):
        os.close(each)
    assert holders(tmp_path) == []


def test_who_holds_it_elsewhere_is_not_taken_for_a_process_here(tmp_path: Path) -> None:
    held = hold_home(tmp_path, ALL_ROLES)
    os.pwrite(held[0], b"1         ", 0)  # as the volume of a container has it
    with pytest.raises(ConfigurationError, match="cannot be seen from here"):
        holders(tmp_path)
    os.close(held[0])


def test_a_process_that_the_signal_would_end_is_not_told() -> None:
    words = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(ConfigurationError, match="runs in a terminal"):
            ask_to_renew([process.pid])
        assert process.poll() is None
        process.kill()
    with pytest.raises(ConfigurationError):
        ask_to_renew([process.pid])


def test_a_process_that_hears_it_is_told() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGHUP, lambda number, _: heard.append(number))
    try:
        ask_to_renew([os.getpid()])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert heard == [signal.SIGHUP]
