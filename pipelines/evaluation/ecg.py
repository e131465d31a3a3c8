"""The ECG network on the test subjects: numbers, intervals, diseases, alignment, each with 95 % CI.

All readers are measured on the same resamples of the same subjects, so that differences are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES
from pipelines.cohort.simulation import population_of
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.evaluation.bootstrap import Measured, measure, measure_columns, resamples
from pipelines.evaluation.from_scratch import Trial, best_trial, read_trials, trial_network
from pipelines.evaluation.phenotypes import (
    coverage,
    resampled_absolute_error,
    resampled_correlation,
    resampled_coverage,
    resampled_r_squared,
)
from pipelines.evaluation.readers import MODEL, Tick, read_by_baselines, read_by_oracle
from pipelines.evaluation.retrieval import Recall, measure_recall
from pipelines.evaluation.screening import Screening, screen
from pipelines.evaluation.subgroups import Members, subgroups
from pipelines.training.calibrate import Answers, Calibration, answer, calibrate
from pipelines.training.run import Training

Array = NDArray[np.float64]
SEED: Final = 1
"""Of the resamples."""
STARTS: Final = ("aligned", "scratch")
BEST: Final = {"ecg_and_subject": "oracle_ecg_and_subject", "ecg_only": "oracle_ecg"}
"""How the network is asked -> the oracle that knows as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Of one phenotype by one reader."""

    r2: Measured
    absolute_error: Measured
    """Mean, in the phenotype's unit."""
    correlation: Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class PhenotypeFigures:
    """One phenotype: every reader's scores, and how far the model's intervals hold."""

    field_id: str
    name: str
    unit: str
    subjects: int
    """Of the test subjects, those whose value is known."""
    scores: dict[str, Scores]
    gain: Measured
    """R2 of ECG and subject less that of demographics alone."""
    coverage: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Coverage of the prediction intervals: mean over phenotypes, and of the worst one."""

    mean: Measured
    lowest: float
    lowest_field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """Intervals and mean R2 among some of the test subjects, by how the network is asked."""

    name: str
    subjects: int
    intervals: dict[str, Intervals]
    r2_mean: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseFigures:
    """One disease, by how the network is asked."""

    field_id: str
    name: str
    screening: dict[str, Screening]


@dataclass(frozen=True, slots=True, kw_only=True)
class FromScratch:
    """Sums of R2 with a share of the labels, by how the network is asked."""

    labels: float
    subjects: int
    chosen: dict[str, dict[str, str]]
    """How it is asked -> start -> the trial that was best on the calibration subjects."""
    aligned: dict[str, Measured]
    scratch: dict[str, Measured]
    gain: dict[str, Measured]
    """Aligned less scratch, in pairs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EcgFigures:
    """Everything about the ECG network."""

    subjects: int
    fitted: int
    """Training subjects that the ridge on ECG features and the oracle were fitted on."""
    r2_sum: dict[str, Measured]
    """Reader -> sum of R2 over the phenotypes."""
    share_of_oracle: dict[str, Measured]
    """Sum of R2 over that of the oracle that knows as much; nothing of real subjects."""
    gain_over_demographics: Measured
    """Sum of R2 of ECG and subject less that of demographics alone."""
    intervals: dict[str, Intervals]
    subgroups: tuple[Subgroup, ...]
    phenotypes: tuple[PhenotypeFigures, ...]
    diseases: tuple[DiseaseFigures, ...]
    recall: tuple[Recall, ...]
    from_scratch: tuple[FromScratch, ...]
    """Nothing before cardionets compare has run."""


def evaluate_ecg(training: Training, *, fit: int, tick: Tick) -> EcgFigures:
    """Measure the finished ECG network.

    fit: training subjects to fit the ridge on ECG features and the oracle on, at most.
    Raises UnusableData (a stage is not finished, or another simulator made the training set).
    """
    data, statement = training.data, training.data.statement
    population = population_of(statement) if statement.simulated else None
    part = statement.train_part
    fitted = slice(part.start, part.start + min(fit, statement.train))
    network = training.ecg_network()
    calibration = calibrate(network, data)
    answers = {
        name: answer(network, data, statement.test_part, subject_known=known)
        for name, known in MODEL.items()
    }
    tick(0.2)
    readers = {name: answers[name].value for name in MODEL}
    readers |= read_by_baselines(data, fitted, lambda share: tick(0.2 * share))
    if population is not None:
        readers |= read_by_oracle(data, population, fitted, lambda share: tick(0.5 * share))
    true = data.phenotypes[statement.test_part].astype(np.float64)
    half_widths = {name: calibration.interval_scale * answers[name].spread for name in MODEL}
    weights = resamples(statement.test, seed=SEED)
    r2 = {name: resampled_r_squared(weights, value, true) for name, value in readers.items()}
    figures = EcgFigures(
        subjects=statement.test,
        fitted=fitted.stop - fitted.start,
        r2_sum={name: measure(_sum(each)) for name, each in r2.items()},
        share_of_oracle={
            name: measure(_sum(r2[name]) / _sum(r2[best]))
            for name, best in BEST.items()
            if best in r2
        },
        gain_over_demographics=measure(_sum(r2["ecg_and_subject"]) - _sum(r2["demographics"])),
        intervals=_intervals(weights, readers, true, half_widths),
        subgroups=tuple(
            _subgroup(name, members, readers, true, half_widths)
            for name, members in subgroups(data, population).items()
        ),
        phenotypes=_phenotypes(weights, readers, r2, true, half_widths),
        diseases=_diseases(data, answers, calibration),
        recall=_recall(training),
        from_scratch=_from_scratch(training, weights, true),
    )
    tick(0.1)
    return figures


def _phenotypes(
    weights: Array,
    readers: dict[str, Array],
    r2: dict[str, Array],
    true: Array,
    half_widths: dict[str, Array],
) -> tuple[PhenotypeFigures, ...]:
    columns = {
        name: tuple(
            map(
                measure_columns,
                (
                    r2[name],
                    resampled_absolute_error(weights, value, true),
                    resampled_correlation(weights, value, true),
                ),
            )
        )
        for name, value in readers.items()
    }
    gains = measure_columns(r2["ecg_and_subject"] - r2["demographics"])
    held = {name: coverage(readers[name], true, half_widths[name]) for name in MODEL}
    return tuple(
        PhenotypeFigures(
            field_id=phenotype.field_id,
            name=phenotype.name,
            unit=phenotype.unit,
            subjects=int((~np.isnan(true[:, place])).sum()),
            scores={
                name: Scores(r2=of[0][place], absolute_error=of[1][place], correlation=of[2][place])
                for name, of in columns.items()
            },
            gain=gains[place],
            coverage={name: float(each[place]) for name, each in held.items()},
        )
        for place, phenotype in enumerate(PHENOTYPES)
    )


def _intervals(
    weights: Array, readers: dict[str, Array], true: Array, half_widths: dict[str, Array]
) -> dict[str, Intervals]:
    found = {}
    for name in MODEL:
        held = resampled_coverage(weights, readers[name], true, half_widths[name])  # (W, P)
        known = ~np.isnan(held[0])
        lowest = int(np.argmin(np.where(known, held[0], np.inf)))
        found[name] = Intervals(
            mean=measure(_mean(held)),
            lowest=float(held[0, lowest]),
            lowest_field=PHENOTYPES[lowest].field_id,
        )
    return found


def _subgroup(
    name: str,
    members: Members,
    readers: dict[str, Array],
    true: Array,
    half_widths: dict[str, Array],
) -> Subgroup:
    count = int(members.sum())
    weights = resamples(count, seed=SEED)
    own = {reader: readers[reader][members] for reader in MODEL}
    widths = {reader: half_widths[reader][members] for reader in MODEL}
    once = weights[:1]
    return Subgroup(
        name=name,
        subjects=count,
        intervals=_intervals(weights, own, true[members], widths),
        r2_mean={
            reader: float(_mean(resampled_r_squared(once, own[reader], true[members]))[0])
            for reader in MODEL
        },
    )


def _diseases(
    data: TrainingSet, answers: dict[str, Answers], calibration: Calibration
) -> tuple[DiseaseFigures, ...]:
    """Of those whose probabilities could be calibrated."""
    names, labels = dict(DISEASES), data.diseases[data.statement.test_part]
    uncertain = np.isnan(calibration.platt[0])
    found = []
    for place, field_id in enumerate(data.statement.diseases):
        known = labels[:, place] != UNKNOWN
        if uncertain[place] or not known.any():
            continue
        screening = {
            name: screen(
                calibration.probability(each.logits)[known, place],
                labels[known, place] == 1,
                seed=SEED,
            )
            for name, each in answers.items()
        }
        name = names.get(field_id, field_id)
        found.append(DiseaseFigures(field_id=field_id, name=name, screening=screening))
    return tuple(found)


def _recall(training: Training) -> tuple[Recall, ...]:
    """Nothing where too few test subjects have a cine to look among."""
    data = training.data
    if len(data.cines_of(data.statement.test_part)) < 2:
        return ()
    return measure_recall(*training.aligned(), data, data.statement.test_part, seed=SEED)


def _from_scratch(training: Training, weights: Array, true: Array) -> tuple[FromScratch, ...]:
    trials = read_trials(training)
    found = []
    for labels in dict.fromkeys(each.labels for each in trials):
        best = {
            asked: {
                start: best_trial(trials, aligned=start == "aligned", labels=labels, asked=asked)
                for start in STARTS
            }
            for asked in MODEL
        }
        sums = {
            asked: {
                start: _sum_of(training, trial, asked, weights, true) for start, trial in of.items()
            }
            for asked, of in best.items()
        }
        found.append(
            FromScratch(
                labels=labels,
                subjects=max(1, round(labels * training.data.statement.train)),
                chosen={
                    asked: {start: trial.name for start, trial in of.items()}
                    for asked, of in best.items()
                },
                aligned={asked: measure(of["aligned"]) for asked, of in sums.items()},
                scratch={asked: measure(of["scratch"]) for asked, of in sums.items()},
                gain={asked: measure(of["aligned"] - of["scratch"]) for asked, of in sums.items()},
            )
        )
    return tuple(found)


def _sum_of(training: Training, trial: Trial, asked: str, weights: Array, true: Array) -> Array:
    """(W,) sum of R2 of the trial's network."""
    network, data = trial_network(training, trial), training.data
    part = data.statement.test_part
    value = answer(network, data, part, subject_known=MODEL[asked]).value
    return _sum(resampled_r_squared(weights, value, true))


def _sum(columns: Array) -> Array:
    """(W,) over the phenotypes that are known."""
    return np.asarray(np.nansum(columns, axis=1))


def _mean(columns: Array) -> Array:
    """(W,) over the phenotypes that are known; NaN where none is."""
    count = (~np.isnan(columns)).sum(axis=1)
    return np.asarray(np.nansum(columns, axis=1) / np.where(count > 0, count, np.nan))
