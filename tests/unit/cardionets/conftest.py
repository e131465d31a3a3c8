"""The published networks' recorded outputs, and a torch that gives the same twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import absent


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums on one core have one order; the vectors were recorded so."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def vectors_folder(shared: Path) -> Path:
    """Weights, inputs and outputs of the reference code for tiny models; names at full size."""
    folder = shared / "reference" / "vectors"
    if not folder.is_dir():
        absent(f"no reference vectors: {folder} is not there")
    return folder


@pytest.fixture(scope="session")
def tolerances(vectors_folder: Path) -> dict[str, dict[str, Any]]:
    """By "model|expected.name": what was observed, and `suggested_atol`."""
    content = (vectors_folder / "tolerances.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(content)
    return found
