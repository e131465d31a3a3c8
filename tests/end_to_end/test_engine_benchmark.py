"""The benchmark of the engine runs: on both databases, and with one host and more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone


def test_the_engine_is_measured_on_both_databases_and_with_more_hosts(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.engine", "--quick", "--out", str(tmp_path)],
        cwd=Path(__file__).parents[2], env=os.environ, check=False, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads((tmp_path / "engine.json").read_text(encoding="utf-8"))
    assert [each["database"] for each in told["overhead"]] == ["SQLite", "PostgreSQL"]
    assert all(each["with_engine_ms"] > 1.0 for each in told["overhead"])
    assert [each["workers"] for each in told["scale"]] == [1, 2, 4]
    assert "figures of nothing" in (tmp_path / "engine.html").read_text(encoding="utf-8")
