"""What the garbage collector goes through of a process that is ready."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
from node.allocation import spare_what_stays
kept = [[number] for number in range(100_000)]
spare_what_stays()
print(len(gc.get_objects()) < 1000, gc.get_freeze_count() > 100_000)
"""


def test_what_was_there_when_it_was_ready_is_not_gone_through_again() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "True True\n"
