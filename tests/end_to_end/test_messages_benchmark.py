"""The benchmark of HL7 messages runs, and its peers take what it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.messages.rates import CONNECTIONS, RECEIVERS, SENDERS

pytestmark = pytest.mark.alone


def test_every_receiver_and_sender_is_measured_at_one_and_at_eight_connections(
    tmp_path: Path,
) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.messages", "--quick", "--out", str(tmp_path)],
        cwd=Path(__file__).parents[2], env=os.environ, check=False, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "messages.json").read_text(encoding="utf-8"))
    found = {(each["name"], each["is_sender"], each["connections"]) for each in told["rates"]}
    ways = [(name, False) for name in RECEIVERS] + [(name, True) for name in SENDERS]
    assert found == {(*way, connections) for way in ways for connections in CONNECTIONS}
    assert all(min(each["a_second"]) > 1.0 for each in told["rates"])
    assert "figures of nothing" in (tmp_path / "messages.html").read_text(encoding="utf-8")
