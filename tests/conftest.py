"""What every ring shares: where the sample data is, and what its absence means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED_VARIABLE = "CARDIONODE_SHARED"


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
