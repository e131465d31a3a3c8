"""Stage 4: what the network says on subjects it never saw, made honest and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from pipelines.cardionets.ecg_to_phenotypes import EcgToPhenotypes
from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES
from pipelines.ecg_to_cmr import derive
from pipelines.evaluation.phenotypes import (
    area_under_curve,
    conformal_scale,
    coverage,
    demographic_features,
    r_squared,
    ridge,
)
from pipelines.manifest import DerivationSpec
from pipelines.training.cohort import Cohort
from pipelines.training.configuration import TrainingConfiguration
from pipelines.training.ecg import predict
from pipelines.training.targets import Targets

Array = NDArray[np.float64]
COVERAGE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of one part of the cohort: values and spread (n, P) in natural units, logits (n, D)."""

    value: Array
    spread: Array
    logits: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """interval_scale: (P,). platt: (2, D), slope and intercept of each disease's logit."""

    interval_scale: Array
    platt: Array


def answer(
    network: EcgToPhenotypes,
    cohort: Cohort,
    targets: Targets,
    part: slice,
    *,
    hide_subject: bool = False,
) -> Answers:
    """As serving answers: derived fields follow from the others and the heart rate."""
    out = predict(network, cohort, part, hide_subject=hide_subject)
    mean = out.mean.double().numpy() * targets.scale + targets.mean
    spread = np.exp(0.5 * out.log_variance.double().numpy()) * targets.scale
    rate = targets.natural[part, -1].astype(np.float64)
    values: dict[str, Array] = {}
    for column, phenotype in enumerate(PHENOTYPES):
        value = mean[:, column]
        if phenotype.derivation is not None:
            spec = DerivationSpec(
                kind=cast(Any, phenotype.derivation.kind), of=phenotype.derivation.of
            )
            # The same arithmetic on columns as serving does on numbers.
            value = cast(Array, derive(spec, cast(Any, values), cast(Any, rate)))
        values[phenotype.field_id] = np.clip(value, phenotype.minimum, phenotype.maximum)
    return Answers(
        value=np.stack(list(values.values()), axis=1),
        spread=spread[:, :-1].astype(np.float64),
        logits=out.logits.double().numpy(),
    )


def calibrate(
    network: EcgToPhenotypes, cohort: Cohort, targets: Targets, part: slice
) -> Calibration:
    """From the calibration subjects, each once with and once without age, sex and body size."""
    both = [answer(network, cohort, targets, part, hide_subject=hide) for hide in (False, True)]
    true = np.tile(targets.natural[part, :-1].astype(np.float64), (2, 1))
    label = np.tile(cohort.diseases[part], (2, 1))
    logits = np.concatenate([each.logits for each in both])
    return Calibration(
        interval_scale=conformal_scale(
            np.concatenate([each.value for each in both]),
            true,
            np.concatenate([each.spread for each in both]),
            COVERAGE,
        ),
        platt=np.stack([_platt(logits[:, d], label[:, d]) for d in range(label.shape[1])], axis=1),
    )


def evaluate(
    network: EcgToPhenotypes,
    cohort: Cohort,
    targets: Targets,
    calibration: Calibration,
    configuration: TrainingConfiguration,
) -> dict[str, Any]:
    """Every figure of the bundle on the test subjects, with the baselines beside it."""
    train, test = slice(0, configuration.cohort.train), configuration.cohort.test_part
    true = targets.natural[test, :-1].astype(np.float64)
    wanted = targets.natural[train, :-1].astype(np.float64)
    full = answer(network, cohort, targets, test)
    alone = answer(network, cohort, targets, test, hide_subject=True)
    who = [demographic_features(cohort.subject[part]) for part in (train, test)]
    shapes = [_ecg_features(cohort, targets, part) for part in (train, test)]
    rows: dict[str, Array] = {
        "r2": r_squared(full.value, true),
        "r2_ecg_only": r_squared(alone.value, true),
        "r2_demographics_only": r_squared(ridge(who[0], wanted, who[1]), true),
        "r2_ridge_ecg_only": r_squared(ridge(shapes[0], wanted, shapes[1]), true),
        "mean_absolute_error": np.abs(full.value - true).mean(axis=0),
        "coverage": coverage(full.value, true, full.spread * calibration.interval_scale),
        "coverage_ecg_only": coverage(alone.value, true, alone.spread * calibration.interval_scale),
    }
    return {
        "test_subjects": int(true.shape[0]),
        "nominal_coverage": COVERAGE,
        "phenotypes": {
            phenotype.field_id: {"name": phenotype.name, "unit": phenotype.unit}
            | {name: round(float(row[column]), 4) for name, row in rows.items()}
            for column, phenotype in enumerate(PHENOTYPES)
        },
        "mean": {name: round(float(row.mean()), 4) for name, row in rows.items()},
        "diseases": _diseases(cohort.diseases[test], full, alone, calibration),
    }


def _diseases(
    label: NDArray[np.bool_], full: Answers, alone: Answers, calibration: Calibration
) -> Mapping[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for column, (field_id, _) in enumerate(DISEASES):
        slope, intercept = calibration.platt[:, column]
        probability = 1.0 / (1.0 + np.exp(-(slope * full.logits[:, column] + intercept)))
        found[field_id] = {
            "prevalence": round(float(label[:, column].mean()), 4),
            "mean_probability": round(float(probability.mean()), 4),
            "auroc": round(area_under_curve(full.logits[:, column], label[:, column]), 4),
            "auroc_ecg_only": round(area_under_curve(alone.logits[:, column], label[:, column]), 4),
        }
    return found


def _platt(logit: Array, label: NDArray[np.bool_]) -> Array:
    """(2,) slope and intercept that make the logit a calibrated one (Platt 1999)."""

    def loss(parameters: Array) -> float:
        scaled = parameters[0] * logit + parameters[1]
        return float(np.mean(np.logaddexp(0.0, scaled) - label * scaled))

    return np.asarray(minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x)


def _ecg_features(cohort: Cohort, targets: Targets, part: slice) -> Array:
    """(n, 12 * 42 + 1): what a reader measures without a network.

    Amplitude quantiles of each lead and of its slope, the power of its bands, and heart rate.
    """
    rows = []
    for start in range(part.start, part.stop, 500):
        ecg = cohort.ecg[start : min(start + 500, part.stop)].astype(np.float32)
        points = np.linspace(0.0, 1.0, 15)
        amplitude = np.quantile(ecg, points, axis=2)  # (15, n, 12)
        slope = np.quantile(np.diff(ecg, axis=2), points, axis=2)  # (15, n, 12)
        power = np.abs(np.fft.rfft(ecg, axis=2)[:, :, 5:401]) ** 2
        bands = np.log(power.reshape(*power.shape[:2], 12, 33).sum(axis=3) + 1e-6)  # (n, 12, 12)
        quantiles = np.concatenate([amplitude, slope]).transpose(1, 2, 0)  # (n, 12, 30)
        rows.append(np.concatenate([quantiles, bands], axis=2).reshape(ecg.shape[0], -1))
    rate = targets.natural[part, -1:].astype(np.float64)
    return np.concatenate([np.concatenate(rows).astype(np.float64), rate], axis=1)
