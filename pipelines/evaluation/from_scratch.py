"""Whether alignment pays: stage phenotypes from the aligned encoder, and from a new one.

Both have the same network and labelled subjects, and the same learning rates and lengths to choose
from, with the encoder trained or frozen; each takes what is best on the calibration subjects, for
each way in which it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from safetensors.torch import load_file

from node.domain.errors import UnusableData
from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.evaluation.phenotypes import r_squared
from pipelines.evaluation.readers import MODEL
from pipelines.training.calibrate import answer
from pipelines.training.engine import WEIGHTS
from pipelines.training.phenotypes import Phenotypes
from pipelines.training.run import Training

FOLDER: Final = "comparison"
RESULT: Final = "trials.json"


class Trial(BaseModel):
    """One training of the comparison."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    aligned: bool
    labels: float
    """Share of the training subjects whose phenotypes are used."""
    rate: float
    """Learning rate over the stage's own."""
    steps: int
    frozen: bool = False
    """Its encoder: only what reads its features is trained."""
    scores: dict[str, float] = {}
    """How it is asked -> sum of R2 on the calibration subjects; nothing: untrained."""

    @property
    def name(self) -> str:
        start = "aligned" if self.aligned else "scratch"
        end = "-frozen" if self.frozen else ""
        return f"{start}-{self.labels:g}-{self.rate:g}-{self.steps}{end}"


class _Trials(RootModel[tuple[Trial, ...]]):
    pass


def planned_trials(training: Training) -> tuple[Trial, ...]:
    """As configured."""
    plan = training.configuration.comparison
    lengths = plan.steps or (training.configuration.stages.phenotypes.steps,)
    return tuple(
        Trial(aligned=aligned, labels=labels, rate=rate, steps=steps, frozen=frozen)
        for labels, aligned, rate, steps, frozen in product(
            plan.labels, (True, False), plan.rates, lengths, plan.frozen
        )
    )


def compare(
    training: Training, *, progress: bool, began: Callable[[Trial], None]
) -> tuple[Trial, ...]:
    """Train and score what is not yet; `trials.json` in the folder holds what is done.

    Raises UnusableData (a stage before is not finished).
    """
    planned, scored = planned_trials(training), {each.name: each for each in read_trials(training)}
    for trial in planned:
        began(trial)
        folder = _folder(training, trial)
        if trial.name in scored and (folder / WEIGHTS).exists():
            continue
        training.train_apart(_stage(training, trial), folder, progress=progress)
        scores = _scores(training, trial_network(training, trial))
        scored[trial.name] = trial.model_copy(update={"scores": scores})
        _write(training, tuple(scored[each.name] for each in planned if each.name in scored))
    done = tuple(scored[each.name] for each in planned)
    _write(training, done)
    return done


def _write(training: Training, trials: tuple[Trial, ...]) -> None:
    file = training.folder / FOLDER / RESULT
    file.write_text(_Trials(trials).model_dump_json(indent=2) + "\n", encoding="utf-8")


def read_trials(training: Training) -> tuple[Trial, ...]:
    """What `compare` wrote; nothing where it has not run. Raises UnusableData (not its file)."""
    file = training.folder / FOLDER / RESULT
    if not file.exists():
        return ()
    try:
        return _Trials.model_validate_json(file.read_text(encoding="utf-8")).root
    except ValidationError as error:
        raise UnusableData(f"{file} is not what cardionets compare writes: {error}") from error


def best_trial(trials: tuple[Trial, ...], *, aligned: bool, labels: float, asked: str) -> Trial:
    """The one that scored best on the calibration subjects."""
    of_kind = [each for each in trials if each.aligned == aligned and each.labels == labels]
    return max(of_kind, key=lambda each: each.scores.get(asked, -np.inf))


def trial_network(training: Training, trial: Trial) -> EcgToPhenotypes:
    """What the trial made."""
    network = _stage(training, trial).ecg_network
    network.load_state_dict(load_file(_folder(training, trial) / WEIGHTS))
    return network.eval()


def _stage(training: Training, trial: Trial) -> Phenotypes:
    own = training.configuration.stages.phenotypes
    settings = own.model_copy(
        update={
            "labels": trial.labels,
            "learning_rate": own.learning_rate * trial.rate,
            "steps": trial.steps,
            "average": 0.0,  # that of a short training still holds much of its start
        }
    )
    stage = training.fine_tuning(settings, aligned=trial.aligned)
    stage.ecg_network.encoder.requires_grad_(not trial.frozen)
    return stage


def _folder(training: Training, trial: Trial) -> Path:
    return training.folder / FOLDER / trial.name


def _scores(training: Training, network: EcgToPhenotypes) -> dict[str, float]:
    data, part = training.data, training.data.statement.calibration_part
    true = data.phenotypes[part].astype(np.float64)
    return {
        asked: float(
            np.nansum(r_squared(answer(network, data, part, subject_known=known).value, true))
        )
        for asked, known in MODEL.items()
    }
