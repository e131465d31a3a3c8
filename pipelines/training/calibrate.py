"""After training: intervals that hold what they promise, and disease probabilities that are true.

Both are set on the calibration subjects, whom no stage has seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.datasets.training_set import UNKNOWN, TrainingSet
from pipelines.derivation import derive
from pipelines.manifest import DerivationSpec
from pipelines.training.phenotypes import fit_scaler

Array = NDArray[np.float64]
COVERAGE: Final = 0.9
FEWEST: Final = 9
"""Subjects, for an interval that holds so many: of n errors the greatest holds n / (n + 1)."""
CHUNK: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one part of a training set: values and spread (n, P) in natural units, logits (n, D)."""

    value: Array
    spread: Array
    logits: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """interval_scale: (P,). platt: (2, D), slope and intercept of each disease's logit.

    NaN where the calibration subjects are too few: for an interval that holds, or of a label's two.
    """

    interval_scale: Array
    platt: Array

    def probability(self, logits: Array) -> Array:
        """(n, D)."""
        shares: Array = expit(self.platt[0] * logits + self.platt[1])
        return shares


def answer(
    network: EcgToPhenotypes, data: TrainingSet, part: slice, *, subject_known: bool
) -> Answers:
    """As serving answers: derived fields follow from the others and the heart rate."""
    scaler = fit_scaler(data)
    mean, spread, logits = _run(network, data, part, subject_known=subject_known)
    natural = mean * scaler.scale + scaler.mean
    rate = data.heart_rate[part].astype(np.float64)
    values: dict[str, Array] = {}
    for column, phenotype in enumerate(PHENOTYPES):
        value = natural[:, column]
        if phenotype.derivation is not None:
            spec = DerivationSpec(
                kind=cast(Any, phenotype.derivation.kind), of=phenotype.derivation.of
            )
            # The same arithmetic on columns as serving does on numbers.
            value = cast(Array, derive(spec, cast(Any, values), cast(Any, rate)))
        values[phenotype.field_id] = np.clip(value, phenotype.minimum, phenotype.maximum)
    return Answers(
        value=np.stack(list(values.values()), axis=1),
        spread=(spread * scaler.scale)[:, :-1],
        logits=logits,
    )


def calibrate(network: EcgToPhenotypes, data: TrainingSet) -> Calibration:
    """Each calibration subject counts once with and once without age, sex and body size."""
    part = data.statement.calibration_part
    both = [answer(network, data, part, subject_known=known) for known in (True, False)]
    true = np.tile(data.phenotypes[part].astype(np.float64), (2, 1))
    label = np.tile(data.diseases[part], (2, 1))
    logits = np.concatenate([each.logits for each in both])
    value = np.concatenate([each.value for each in both])
    spread = np.concatenate([each.spread for each in both])
    known = ~np.isnan(true)
    scales = [
        _scale(value[known[:, p], p], true[known[:, p], p], spread[known[:, p], p])
        for p in range(true.shape[1])
    ]
    platt = [
        _platt(logits[label[:, d] != UNKNOWN, d], label[label[:, d] != UNKNOWN, d] == 1)
        for d in range(label.shape[1])
    ]
    return Calibration(interval_scale=np.array(scales), platt=np.stack(platt, axis=1))


def conformal_scale(predicted: Array, true: Array, spread: Array, level: float) -> Array:
    """(P,) factor that makes predicted ± factor * spread hold the share `level` of true values.

    Split conformal prediction: the quantile of the scaled errors with the finite-sample correction.
    """
    scaled = np.sort(np.abs(true - predicted) / spread, axis=0)
    rank = int(np.ceil(level * (scaled.shape[0] + 1))) - 1
    return np.asarray(scaled[min(rank, scaled.shape[0] - 1)])


def _run(
    network: EcgToPhenotypes, data: TrainingSet, part: slice, *, subject_known: bool
) -> tuple[Array, Array, Array]:
    """mean (n, T), spread (n, T), logits (n, D), standardised."""
    found = []
    with torch.inference_mode():
        for start in range(part.start, part.stop, CHUNK):
            rows = slice(start, min(start + CHUNK, part.stop))
            ecg = torch.from_numpy(data.ecg[rows].astype(np.float32))
            who = torch.from_numpy(np.array(data.subject[rows])) * subject_known
            out = network.eval()(ecg, who)
            found.append((out.mean, (0.5 * out.log_variance).exp(), out.logits))
    mean, spread, logits = (torch.cat(each).double().numpy() for each in zip(*found, strict=True))
    return mean, spread, logits


def _scale(value: Array, true: Array, spread: Array) -> float:
    """Of one phenotype, from the subjects whose value is known, each of them twice."""
    if true.size < 2 * FEWEST:
        return np.nan
    return float(conformal_scale(value[:, None], true[:, None], spread[:, None], COVERAGE)[0])


def _platt(logit: Array, label: NDArray[np.bool_]) -> Array:
    """(2,) slope and intercept that make the logit a calibrated one (Platt 1999)."""
    if label.all() or not label.any():
        return np.full(2, np.nan)

    def loss(parameters: Array) -> float:
        scaled = parameters[0] * logit + parameters[1]
        return float(np.mean(np.logaddexp(0.0, scaled) - label * scaled))

    return np.asarray(minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x)
