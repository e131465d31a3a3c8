"""The load kit runs, and every ECG of its carts is answered by PACS and RIS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.load.runs import IN_HAND
from node.cli.orthanc import PROGRAM
from node.cli.own_network import own_network_prefix
from tests.conftest import absent


@pytest.mark.alone
def test_a_node_is_measured_singly_without_a_pause_and_at_a_share_of_what_it_bears(
    tmp_path: Path,
) -> None:
    if not (PROGRAM.exists() and own_network_prefix()):
        absent("no Orthanc, or no right to make a network for it")
    words = [
        "--minutes", "0.1", "--share", "0.5", "--singly", "1", "--unpaused", "20", "--morning",
        "--out", str(tmp_path),
    ]  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *words], cwd=Path(__file__).parents[2],
        env=os.environ, check=False, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "load.json").read_text(encoding="utf-8"))
    singly, unpaused, half = told["runs"]
    assert [each["name"] for each in told["runs"]] == ["one at a time", "without a pause", "50%"]
    assert (singly["ecgs"], unpaused["ecgs"]) == (1, 20)
    assert 1 <= singly["most_waiting"] < unpaused["most_waiting"] <= IN_HAND
    assert half["ecgs"] >= 1
    for each in told["runs"]:
        p50, p95, p99 = each["answer_s"]
        assert 0 < each["store_ms"][0] / 1e3 < p50 <= p95 <= p99
        assert each["cores"] > 0
    (foretold,) = told["foretold_s"]
    assert foretold[0] > 0.5 * singly["answer_s"][0]
    assert [each["hospitals"] for each in told["needs"]] == [1, 10, 100, 1000]
    hosts = [each["hosts"] for each in told["needs"]]
    assert hosts == sorted(hosts)
    assert hosts[0] < hosts[-1]
    page = (tmp_path / "load.html").read_text(encoding="utf-8")
    assert "<img" in page
    assert "Nothing was lost" in page
