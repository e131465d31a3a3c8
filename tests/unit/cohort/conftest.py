"""A small cohort on disk, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cohort.simulation import CohortSizes, simulate_cohort

SIZES = CohortSizes(seed=7, test=20, calibration=10, train=30, test_cines=2, train_cines=3)


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 subjects, 5 cines."""
    folder = tmp_path_factory.mktemp("cohort")
    simulate_cohort(folder, SIZES, lambda _: None)
    return folder
