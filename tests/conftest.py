"""What every ring shares: where the sample data is, and what its absence means."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

SHARED_VARIABLE = "CARDIONODE_SHARED"
SHRUNKEN = Path(__file__).parent / "data" / "training" / "shrunken.toml"
"""A training configuration of seconds."""


def absent(what: str) -> None:
    """Skip, saying so; with CI set a missing peer or missing data is a failure."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}; with CI set this is a failure, not a skip", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with sample data (its `data/`, `reference/`, `design/`)."""
    folder = Path(
        os.environ.get(SHARED_VARIABLE, Path(__file__).resolve().parents[1] / ".." / "shared")
    ).resolve()
    if not (folder / "data").is_dir():
        absent(f"no sample data: {SHARED_VARIABLE} names no folder with data/")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """What `cardionets run` makes of the shrunken configuration; tests must not write there.

    The workers of a run share one: the first that needs it trains.
    """
    from typer.testing import CliRunner

    from pipelines.command import app

    root = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        root = root.parent
    folder, finished = root / "trained", root / "trained.finished"
    with (root / "trained.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            words = ["run", "--config", str(SHRUNKEN), "--out", str(folder)]
            result = CliRunner().invoke(app, words, catch_exceptions=False)
            assert result.exit_code == 0, result.output
            finished.touch()
    return folder
