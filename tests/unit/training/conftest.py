"""The shrunken training: its configuration, its data, and folders to train in beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from pipelines.training.configuration import TrainingConfiguration, read_configuration
from pipelines.training.run import DATA, Training
from tests.conftest import SHRUNKEN

Beside = Callable[..., Training]
"""Names of finished stages -> a training in a new folder with the same data and those stages."""


@pytest.fixture(scope="session")
def configuration() -> TrainingConfiguration:
    return read_configuration(SHRUNKEN)


@pytest.fixture(scope="session")
def training(trained: Path, configuration: TrainingConfiguration) -> Training:
    """The finished one."""
    return Training(trained, configuration)


@pytest.fixture
def beside(trained: Path, tmp_path: Path, configuration: TrainingConfiguration) -> Beside:
    def make(*finished: str) -> Training:
        for name in (DATA, *finished):
            (tmp_path / name).symlink_to(trained / name, target_is_directory=True)
        return Training(tmp_path, configuration)

    return make


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As the configuration says; other tests keep theirs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
