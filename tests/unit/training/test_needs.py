"""A stage that cannot learn says so before it trains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from node.domain.errors import UnusableData
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.training.needs import NEEDS, check_needs
from pipelines.training.run import Training
from tests.unit.training.conftest import Beside

STAGES = {
    "pretrain-ecg", "pretrain-cmr", "align", "phenotypes", "diseases", "meter", "tokenizer",
    "layout", "generator",
}  # fmt: skip
CINE_STAGES = ["pretrain-cmr", "align", "tokenizer", "layout", "generator"]


def _without_train_cines(data: TrainingSet) -> TrainingSet:
    """The test subjects keep theirs: nobody trains on those."""
    kept = data.cines_of(data.statement.test_part)
    assert len(kept)
    statement = data.statement.model_copy(update={"cines": len(kept)})
    return replace(
        data, statement=statement, cine=data.cine[kept], cine_subject=data.cine_subject[kept]
    )


def _with_one_train_cine(data: TrainingSet) -> TrainingSet:
    kept = data.cines_of(data.statement.train_part)[:1]
    statement = data.statement.model_copy(update={"cines": 1})
    return replace(
        data, statement=statement, cine=data.cine[kept], cine_subject=data.cine_subject[kept]
    )


def _without_train_phenotypes(data: TrainingSet) -> TrainingSet:
    phenotypes = np.array(data.phenotypes)
    phenotypes[data.statement.train_part] = np.nan
    return replace(data, phenotypes=phenotypes)


def _without_train_labels(data: TrainingSet) -> TrainingSet:
    diseases = np.array(data.diseases)
    diseases[data.statement.train_part] = UNKNOWN
    return replace(data, diseases=diseases)


def _real(data: TrainingSet) -> TrainingSet:
    return replace(data, statement=data.statement.model_copy(update={"simulated": False}))


def _without_train_subjects(data: TrainingSet) -> TrainingSet:
    return replace(data, statement=data.statement.model_copy(update={"train": 0}))


def test_every_stage_has_its_need_and_a_simulated_cohort_meets_all(training: Training) -> None:
    assert set(NEEDS) == STAGES
    assert set(training.stages) < STAGES
    for name in STAGES:
        check_needs(name, training.data)


@pytest.mark.parametrize("name", CINE_STAGES)
def test_a_stage_of_cines_needs_one_to_train_on(training: Training, name: str) -> None:
    with pytest.raises(UnusableData, match=f"stage {name} cannot train: .* has a cine"):
        check_needs(name, _without_train_cines(training.data))


def test_the_other_stages_need_no_cine(training: Training) -> None:
    for name in STAGES.difference(CINE_STAGES):
        check_needs(name, _without_train_cines(training.data))


def test_phenotypes_and_diseases_need_their_own(training: Training) -> None:
    unmeasured, unlabelled = (
        of(training.data) for of in (_without_train_phenotypes, _without_train_labels)
    )
    check_needs("diseases", unmeasured)
    check_needs("phenotypes", unlabelled)
    with pytest.raises(UnusableData, match=r"has a phenotype; .* --phenotypes"):
        check_needs("phenotypes", unmeasured)
    with pytest.raises(UnusableData, match=r"has a disease label; .* --diseases"):
        check_needs("diseases", unlabelled)


def test_one_label_of_one_training_subject_is_enough(training: Training) -> None:
    data = _without_train_labels(training.data)
    data.diseases[data.statement.train_part.stop - 1, 2] = 0
    check_needs("diseases", data)


def test_the_meter_needs_a_simulator_and_pretraining_somebody(training: Training) -> None:
    with pytest.raises(UnusableData, match=r"stage meter cannot train: .* stages\.meter"):
        check_needs("meter", _real(training.data))
    with pytest.raises(
        UnusableData, match="stage pretrain-ecg cannot train: the training set has no"
    ):
        check_needs("pretrain-ecg", _without_train_subjects(training.data))


def test_too_few_cines_for_a_batch_are_told_before_the_first_stage(beside: Beside) -> None:
    training = beside()
    vars(training)["data"] = _with_one_train_cine(training.data)
    with pytest.raises(UnusableData, match=r"stages\.align\.batch is \d+, but there are 1 train"):
        training.check()


def test_nothing_is_trained_where_the_need_is_not_met(beside: Beside) -> None:
    training = beside()
    vars(training)["data"] = _without_train_cines(training.data)
    with pytest.raises(UnusableData, match="stage tokenizer cannot train"):
        training.train("tokenizer", progress=False)
    assert not (training.folder / "tokenizer").exists()
