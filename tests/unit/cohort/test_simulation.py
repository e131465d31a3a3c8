"""A cohort on disk: the same bytes again, frozen test subjects, and folders that are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from node.domain.errors import UnusableData
from pipelines.cohort.population import simulate_population
from pipelines.cohort.simulation import CohortSizes, digest_subjects, simulate_cohort
from pipelines.datasets.training_set import STATEMENT, open_training_set
from tests.unit.cohort.conftest import SIZES


def test_the_same_sizes_give_the_same_bytes(small_cohort: Path, tmp_path: Path) -> None:
    ticks: list[int] = []
    simulate_cohort(tmp_path, SIZES, ticks.append)
    assert sum(ticks) == SIZES.work == 65
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 8
    for name in names:
        assert (tmp_path / name).read_bytes() == (small_cohort / name).read_bytes(), name


def test_the_digest_is_of_the_test_subjects_alone() -> None:
    part = slice(0, 20)
    digest = digest_subjects(simulate_population(60, 7), part)
    assert digest == digest_subjects(simulate_population(500, 7), part)
    assert digest != digest_subjects(simulate_population(60, 8), part)
    assert digest != digest_subjects(simulate_population(60, 7), slice(1, 21))
    assert len(digest) == 64


def test_frozen_test_subjects_that_have_become_others_are_refused(tmp_path: Path) -> None:
    frozen = SIZES.model_copy(update={"test_digest": "0" * 64})
    with pytest.raises(UnusableData, match="not the frozen ones"):
        simulate_cohort(tmp_path, frozen, lambda _: None)
    assert not list(tmp_path.iterdir())


def test_cines_are_of_the_first_test_and_the_first_training_subjects(small_cohort: Path) -> None:
    made = open_training_set(small_cohort)
    assert made.cine_subject.tolist() == [0, 1, 30, 31, 32]
    assert made.cines_of(made.statement.test_part).tolist() == [0, 1]
    assert made.cines_of(made.statement.train_part).tolist() == [2, 3, 4]
    assert made.cines_of(made.statement.calibration_part).tolist() == []
    assert made.statement.simulated
    assert made.ecg.shape == (60, 12, 2800)
    assert made.cine.shape == (5, 50, 96, 96)


def test_an_unfinished_folder_is_refused(small_cohort: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_cohort, tmp_path / "cohort"))
    (folder / STATEMENT).unlink()
    with pytest.raises(UnusableData, match="cardionets simulate"):
        open_training_set(folder)


def test_a_statement_with_an_unknown_recipe_is_refused(small_cohort: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_cohort, tmp_path / "cohort"))
    statement = json.loads((folder / STATEMENT).read_text(encoding="utf-8"))
    (folder / STATEMENT).write_text(json.dumps(statement | {"recipe": "none"}), encoding="utf-8")
    with pytest.raises(UnusableData, match="recipe"):
        open_training_set(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("heart_rate", np.zeros(59, np.float32)),
        ("heart_rate", np.zeros(60, np.float64)),
        ("subject", np.zeros((60, 7), np.float32)),
    ],
)
def test_an_array_that_the_statement_does_not_describe_is_refused(
    small_cohort: Path, tmp_path: Path, name: str, array: np.ndarray
) -> None:
    folder = Path(shutil.copytree(small_cohort, tmp_path / "cohort"))
    np.save(folder / f"{name}.npy", array)
    with pytest.raises(UnusableData, match=name):
        open_training_set(folder)


def test_making_a_set_anew_takes_its_statement_away_first(
    small_cohort: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_cohort, tmp_path / "cohort"))

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(folder, SIZES, interrupted)
    with pytest.raises(UnusableData):
        open_training_set(folder)


def test_sizes_without_subjects_are_refused() -> None:
    with pytest.raises(ValueError, match="test"):
        CohortSizes(seed=1, test=0, calibration=1, train=1, test_cines=1, train_cines=1)
