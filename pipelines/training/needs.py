"""What each stage needs of a training set, asked before it trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from node.domain.errors import UnusableData
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.training.align import Align
from pipelines.training.diseases import Diseases
from pipelines.training.generator import GeneratorStage
from pipelines.training.layout import LayoutStage
from pipelines.training.meter import Meter
from pipelines.training.phenotypes import Phenotypes
from pipelines.training.pretrain_cmr import PretrainCmr
from pipelines.training.pretrain_ecg import PretrainEcg
from pipelines.training.tokenizer import Tokenizer


def check_needs(stage_name: str, data: TrainingSet) -> None:
    """Raise UnusableData when the training subjects lack what the stage learns from."""
    has, lack = NEEDS[stage_name]
    if not has(data):
        raise UnusableData(f"stage {stage_name} cannot train: {lack}")


def _ecgs(data: TrainingSet) -> bool:
    return data.statement.train > 0


def _cines(data: TrainingSet) -> bool:
    return data.cines_of(data.statement.train_part).size > 0


def _phenotypes(data: TrainingSet) -> bool:
    return bool((~np.isnan(data.phenotypes[data.statement.train_part])).any())


def _labels(data: TrainingSet) -> bool:
    return bool((data.diseases[data.statement.train_part] != UNKNOWN).any())


def _simulated(data: TrainingSet) -> bool:
    return data.statement.simulated


Need = tuple[Callable[[TrainingSet], bool], str]
"""Whether it is there; what is lacking, and what to do."""
ECGS: Final[Need] = (_ecgs, "the training set has no training subject; prepare it with more")
CINES: Final[Need] = (
    _cines,
    "no training subject has a cine; prepare the set from a cohort with cines (ukbiobank, or dicom "
    "with --cines)",
)
PHENOTYPES: Final[Need] = (
    _phenotypes,
    "no training subject has a phenotype; prepare the set with --phenotypes",
)
LABELS: Final[Need] = (
    _labels,
    "no training subject has a disease label; prepare the set with --diseases",
)
SIMULATED: Final[Need] = (
    _simulated,
    "it learns from a simulator's outlines, and the set is of real subjects; take stages.meter out "
    "of the configuration",
)
NEEDS: Final = {
    PretrainEcg.name: ECGS,
    PretrainCmr.name: CINES,
    Align.name: CINES,
    Phenotypes.name: PHENOTYPES,
    Diseases.name: LABELS,
    Meter.name: SIMULATED,
    Tokenizer.name: CINES,
    LayoutStage.name: CINES,
    GeneratorStage.name: CINES,
}
