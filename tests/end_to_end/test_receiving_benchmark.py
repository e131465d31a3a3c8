"""The benchmark of receiving runs, and its peers take what it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.receiving.rates import ASSOCIATIONS
from benchmarks.receiving.receivers import PEERS, STORESCP
from node.cli.orthanc import PROGRAM
from node.cli.own_network import own_network_prefix
from tests.conftest import absent

pytestmark = pytest.mark.alone


def test_every_receiver_is_measured_at_one_and_at_eight_associations(tmp_path: Path) -> None:
    if not (PROGRAM.exists() and STORESCP.exists() and own_network_prefix()):
        absent("no Orthanc, no DCMTK, or no right to make a network for them")
    words = ["--rounds", "1", "--seconds", "0.3", "--out", str(tmp_path)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.receiving", *words], cwd=Path(__file__).parents[2],
        env=os.environ, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "receiving.json").read_text(encoding="utf-8"))
    found = {(each["receiver"], each["associations"]): each for each in told["rates"]}
    assert set(found) == {(name, each) for name in PEERS for each in ASSOCIATIONS}
    assert all(min(each["stored_a_second"]) > 1.0 for each in found.values())
    assert "<img" in (tmp_path / "receiving.html").read_text(encoding="utf-8")
