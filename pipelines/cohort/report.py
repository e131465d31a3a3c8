"""The cohort report: a simulated training set held against published figures, and drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from node.domain.errors import UnusableData
from pipelines.cohort.cine import render_cine
from pipelines.cohort.conditions import Cardiomyopathy, Conduction, Territory
from pipelines.cohort.phenotypes import DISEASES, label_diseases
from pipelines.cohort.population import Population
from pipelines.cohort.report_page import GREY_PERCENTILES, Report, render_report
from pipelines.cohort.simulation import conditioned_ecg, population_of
from pipelines.cohort.targets import (
    CORRELATIONS,
    EXPLAINED,
    NAMES,
    ON_THE_SIGNAL,
    POPULATION,
    Group,
    Row,
    members,
    traits,
)
from pipelines.datasets.cine_series import cut_view
from pipelines.datasets.dicom_folder import read_cine_folder
from pipelines.datasets.recording import Recording
from pipelines.datasets.training_set import TrainingSet, open_training_set
from pipelines.evaluation.ecg_features import PENALTY, ecg_features
from pipelines.evaluation.ecg_measures import ECGMeasures, measure_ecg
from pipelines.evaluation.phenotypes import demographic_features, r_squared, ridge
from pipelines.preprocessing import RECIPES

Tick = Callable[[float], None]
"""Told which further share of the work is done."""

STRIDE: Final = 500
"""ECGs between two ticks."""
REAL_FRAMES: Final = 10
"""A slice with fewer is a still, no cine."""


def report_cohort(
    folder: Path, out: Path, *, real: Path | None, train: int, measured: int, tick: Tick
) -> Report:
    """Measure the simulated training set in `folder`; write `out` and cohort.json beside it.

    train: ECGs to fit on at most. measured: test ECGs whose signal is measured at most. real: a
    folder with DICOM cines to show beside the simulated ones.
    Raises UnusableData (no whole simulated set, or another simulator made it).
    """
    made = open_training_set(folder)
    population = population_of(made.statement)
    real_cines = [] if real is None else _real_cines(real)
    measures = _measure_signals(made, min(measured, made.statement.test), tick)
    rows = {
        "Population": _population_rows(population),
        "ECG, measured on the signal": _signal_rows(population, measures),
        "Explained variance": _explained_rows(made, train, tick),
    }
    simulated = made.cine[made.cines_of(made.statement.test_part)[:100]]
    grey = {"simulated": _percentiles(simulated)}
    if real_cines:
        grey["real"] = _percentiles(np.concatenate(real_cines))
    report = Report(
        made=made, population=population, rows=rows, prevalence=_prevalence(made, population),
        seconds=_seconds(made, population), grey=grey, measures=measures,
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(render_report(report, simulated, real_cines), encoding="utf-8")
    out.with_name("cohort.json").write_text(_json(report), encoding="utf-8")
    tick(0.05)
    return report


def _measure_signals(made: TrainingSet, count: int, tick: Tick) -> dict[str, NDArray[np.float64]]:
    """Half of the work. Measure -> (count,), NaN where an ECG has none."""
    frequency_hz = RECIPES[made.statement.recipe].sampling_frequency_hz
    names = [field.name for field in fields(ECGMeasures)]
    table = np.full((count, len(names)), np.nan)
    for row in range(count):
        record = ECGRecord(
            samples=np.ascontiguousarray(made.rhythm[row].T, dtype=np.float32),
            leads=STANDARD_LEADS,
            sampling_frequency_hz=frequency_hz,
        )
        found = measure_ecg(record)
        if found is not None:
            table[row] = [getattr(found, name) for name in names]
        tick(0.5 / count)
    columns = {name: table[:, place] for place, name in enumerate(names)}
    rr_s = 60.0 / columns["heart_rate_bpm"]
    return columns | {"qtc_ms": columns["qt_ms"] / np.sqrt(rr_s)}


def _population_rows(population: Population) -> list[Row]:
    columns, groups = traits(population), members(population)
    return [
        target.compare(NAMES[target.trait], columns[target.trait][groups[target.group]])
        for target in POPULATION
        if groups[target.group].any()
    ]


def _signal_rows(population: Population, measures: dict[str, NDArray[np.float64]]) -> list[Row]:
    count = len(measures["qrs_duration_ms"])
    columns = {name: values[:count] for name, values in traits(population).items()}
    group = members(population)[Group.CONDUCTING][:count]
    return [
        *(target.compare(NAMES[target.trait], measures[target.trait]) for target in ON_THE_SIGNAL),
        *(
            pair.compare(
                f"r of {NAMES[pair.measure]} and {NAMES[pair.trait]}",
                measures[pair.measure][group],
                columns[pair.trait][group],
            )
            for pair in CORRELATIONS
        ),
    ]


def _explained_rows(made: TrainingSet, train: int, tick: Tick) -> list[Row]:
    """Ridge on the training part, R2 on the test part. The other half of the work."""
    statement = made.statement
    fitted = slice(statement.train_part.start, statement.train_part.start
                   + min(train, statement.train))  # fmt: skip
    total = statement.test + fitted.stop - fitted.start

    def features(part: slice) -> NDArray[np.float64]:
        chunks = []
        for start in range(part.start, part.stop, STRIDE):
            rows = slice(start, min(start + STRIDE, part.stop))
            chunks.append(ecg_features(made.rhythm[rows], made.heart_rate[rows]))
            tick(0.45 * (rows.stop - rows.start) / total)
        return np.concatenate(chunks).astype(np.float64)

    ids = [target.field_id for target in EXPLAINED if target.by == "ecg"]
    columns = [statement.field_ids.index(field_id) for field_id in ids]
    wanted = made.phenotypes[fitted][:, columns].astype(np.float64)
    true = made.phenotypes[statement.test_part][:, columns].astype(np.float64)
    by_ecg = ridge(features(fitted), wanted, features(statement.test_part), penalty=PENALTY)
    by_subject = ridge(
        demographic_features(made.subject[fitted]), wanted,
        demographic_features(made.subject[statement.test_part]),
    )  # fmt: skip
    reached = {"ecg": r_squared(by_ecg, true), "demographics": r_squared(by_subject, true)}
    return [
        target.compare(
            NAMES[target.field_id], float(reached[target.by][ids.index(target.field_id)])
        )
        for target in EXPLAINED
    ]


def _prevalence(made: TrainingSet, population: Population) -> list[tuple[str, int, float]]:
    c = population.conditions
    labels = label_diseases(population)
    groups: list[tuple[str, NDArray[np.bool_]]] = [
        *((title, labels[:, place]) for place, (_, title) in enumerate(DISEASES)),
        ("Atrial fibrillation", c.fibrillation),
        *((_spoken(kind), c.conduction == kind) for kind in Conduction if kind),
        *((f"Infarct: {_spoken(kind)}", c.territory == kind) for kind in Territory if kind),
        *(
            (f"Cardiomyopathy: {_spoken(kind)}", c.cardiomyopathy == kind)
            for kind in Cardiomyopathy
            if kind
        ),
        ("Pressure overload", c.pressure_overload),
    ]
    test = made.statement.test_part
    return [(name, int(group[test].sum()), float(group.mean())) for name, group in groups]


def _spoken(kind: Conduction | Territory | Cardiomyopathy) -> str:
    return kind.name.replace("_", " ").lower()


def _seconds(made: TrainingSet, population: Population) -> dict[str, float]:
    """CPU time, so that what else the machine does is not counted."""
    seed = made.statement.seed or 0
    started = time.process_time()
    for index in range(20):
        conditioned_ecg(population, index, seed=seed)
    between = time.process_time()
    for index in range(4):
        render_cine(population, index, seed=seed)
    ended = time.process_time()
    return {"ecg": (between - started) / 20.0, "cine": (ended - between) / 4.0}


def _real_cines(folder: Path) -> list[NDArray[np.uint8]]:
    """Up to three real cines as a network would see them."""
    cines = [
        cut_view(found.cine)
        for found in read_cine_folder(folder)
        if isinstance(found, Recording) and found.cine is not None
        and len(found.cine.frames) >= REAL_FRAMES
    ]  # fmt: skip
    if not cines:
        raise UnusableData(f"{folder} holds no DICOM cine of {REAL_FRAMES} frames or more")
    return cines[:3]


def _percentiles(pixels: NDArray[np.uint8]) -> list[int]:
    return [int(level) for level in np.percentile(pixels, GREY_PERCENTILES)]


def _json(report: Report) -> str:
    statement = report.made.statement
    content = {
        "statement": statement.model_dump(exclude={"field_ids"}),
        "rows": {name: [asdict(row) for row in rows] for name, rows in report.rows.items()},
        "prevalence": [
            {"condition": name, "test_subjects": count, "share": round(share, 5)}
            for name, count, share in report.prevalence
        ],
        "measured_ecgs": len(report.measures["qrs_duration_ms"]),
        "cpu_seconds": {name: round(value, 5) for name, value in report.seconds.items()},
        "grey_percentiles": {"of": GREY_PERCENTILES, **report.grey},
    }
    return json.dumps(content, indent=2) + "\n"
