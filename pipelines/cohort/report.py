"""The cohort report: a simulated training set held against published figures, and drawn."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from node.domain.errors import UnusableData
from pipelines.cohort import figures, page
from pipelines.cohort.cine import render_cine
from pipelines.cohort.conditions import Cardiomyopathy, Conduction, Territory
from pipelines.cohort.phenotypes import DISEASES, PHENOTYPES, label_diseases
from pipelines.cohort.population import Population, simulate_population
from pipelines.cohort.simulation import conditioned_ecg, digest_subjects
from pipelines.cohort.targets import (
    CONTRADICTIONS,
    CORRELATION_TOLERANCE,
    CORRELATIONS,
    EXPLAINED,
    EXPLAINED_TOLERANCE,
    MEAN_TOLERANCE,
    NAMES,
    ON_THE_SIGNAL,
    POPULATION,
    SPREAD_TOLERANCE,
    Group,
    Row,
    members,
    traits,
)
from pipelines.datasets.cine_series import cut_view
from pipelines.datasets.dicom_folder import read_cine_folder
from pipelines.datasets.recording import Recording
from pipelines.datasets.training_set import TrainingSet, open_training_set
from pipelines.evaluation.ecg_features import ecg_features
from pipelines.evaluation.ecg_measures import ECGMeasures, measure_ecg
from pipelines.evaluation.phenotypes import demographic_features, r_squared, ridge
from pipelines.preprocessing import RECIPES

Tick = Callable[[float], None]
"""Told which further share of the work is done."""

STRIDE: Final = 500
"""ECGs between two ticks."""
ECG_PENALTY: Final = 300.0
SHOWN: Final = (
    "24100", "24101", "24103", "24105", "24106", "24109", "24110", "24114",
    "24118", "24140", "24157", "24174", "24181", "age_years", "heart_rate_bpm", "qrs_duration_ms",
)  # fmt: skip
CINES_SHOWN: Final = 8
REAL_FRAMES: Final = 10
"""A slice with fewer is a still, no cine."""
GREY_PERCENTILES: Final = (25, 50, 75, 95)

JUDGED: Final = (
    f"Within: a mean that lies at most {MEAN_TOLERANCE:g} published SD away, with an SD that "
    f"differs at most by the factor {SPREAD_TOLERANCE:g}; R2 within {EXPLAINED_TOLERANCE:g}; r "
    f"within {CORRELATION_TOLERANCE:g} of the published range. ECGs are measured on the "
    "conditioned signal. QRS duration agrees with five devices' own to 8 ms; the tangent ends T "
    "waves 10 to 30 ms before devices do, and PQ is up to 14 ms from theirs."
)
VISIBLE: Final = (
    "The phenotypes of the ventricles, atria and walls follow from the numbers the drawn heart "
    "is built of; none of them is drawn by lot beside it. The four-chamber plane shows both "
    "ventricles, both atria, the septal and the lateral wall, and the descending aorta at its "
    "minimum area in every frame. The ascending aorta is not in this plane, the aorta does not "
    "widen with the pulse, and the wall segments of other planes do not show: those phenotypes are "
    "in the table and not in the cine."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the page is made of."""

    made: TrainingSet
    population: Population
    rows: dict[str, list[Row]]
    """Section -> its rows."""
    prevalence: list[tuple[str, int, float]]
    """Condition, test subjects with it, share of the whole cohort."""
    seconds: dict[str, float]
    """Of one core for one ECG, one cine."""
    grey: dict[str, list[int]]
    """Percentiles of grey levels."""
    measures: dict[str, NDArray[np.float64]]
    """Trait -> (m,) on the signals of the first m test subjects."""


def report_cohort(
    folder: Path, out: Path, *, real: Path | None, train: int, measured: int, tick: Tick
) -> Report:
    """Measure the simulated training set in `folder`; write `out` and cohort.json beside it.

    train: ECGs to fit on at most. measured: test ECGs whose signal is measured at most. real: a
    folder with DICOM cines to show beside the simulated ones.
    Raises UnusableData (no whole simulated set, or another simulator made it).
    """
    made = open_training_set(folder)
    population = _population_of(made)
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
    out.write_text(_page(report, simulated, real_cines), encoding="utf-8")
    out.with_name("cohort.json").write_text(_json(report), encoding="utf-8")
    tick(0.05)
    return report


def _population_of(made: TrainingSet) -> Population:
    statement = made.statement
    if not statement.simulated or statement.seed is None:
        raise UnusableData("the training set is not simulated: there is no population to recompute")
    population = simulate_population(statement.subjects, statement.seed)
    digest = digest_subjects(population, statement.test_part)
    if digest != statement.test_digest:
        raise UnusableData(
            "another simulator made this training set: its test subjects are not the ones that "
            "its seed gives now; make the set again with: cardionets simulate"
        )
    return population


def _measure_signals(made: TrainingSet, count: int, tick: Tick) -> dict[str, NDArray[np.float64]]:
    """Half of the work. Measure -> (count,), NaN where an ECG has none."""
    frequency_hz = RECIPES[made.statement.recipe].sampling_frequency_hz
    names = [field.name for field in fields(ECGMeasures)]
    table = np.full((count, len(names)), np.nan)
    for row in range(count):
        record = ECGRecord(
            samples=np.ascontiguousarray(made.ecg[row].T, dtype=np.float32),
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
            chunks.append(ecg_features(made.ecg[rows], made.heart_rate[rows]))
            tick(0.45 * (rows.stop - rows.start) / total)
        return np.concatenate(chunks).astype(np.float64)

    ids = [target.field_id for target in EXPLAINED if target.by == "ecg"]
    columns = [statement.field_ids.index(field_id) for field_id in ids]
    wanted = made.phenotypes[fitted][:, columns].astype(np.float64)
    true = made.phenotypes[statement.test_part][:, columns].astype(np.float64)
    by_ecg = ridge(features(fitted), wanted, features(statement.test_part), penalty=ECG_PENALTY)
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


def _page(report: Report, simulated: NDArray[np.uint8], real: list[NDArray[np.uint8]]) -> str:
    statement = report.made.statement
    parts = [page.heading("What this is"), page.table(("", ""), _facts(report))]
    parts.append(page.paragraph(JUDGED))
    for name, rows in report.rows.items():
        parts += [page.heading(name), page.target_table(rows)]
        judged = [row.within for row in rows if row.within is not None]
        parts.append(page.paragraph(f"{sum(judged)} of {len(judged)} judged figures are within."))
    parts += [
        page.heading("Where published figures contradict each other"),
        page.bullets(CONTRADICTIONS),
        page.heading("Distributions"),
        page.picture(_distributions(report), "histograms by sex"),
        page.heading("Conditions"),
        page.table(
            ("condition", "test subjects", "share of the cohort"),
            [(name, str(count), f"{share:.2%}") for name, count, share in report.prevalence],
        ),
        page.heading("ECGs"),
        *_examples(report),
        page.heading("Cines"),
        page.paragraph(
            "Simulated four-chamber cines; real ones, where given, are what the folder holds "
            "(Sunnybrook's are short-axis slices: another plane)."
        ),
        page.picture(_cine_sheet(report, real), "cines at three moments"),
        page.picture(
            figures.draw_grey_levels(simulated, np.concatenate(real) if real else None),
            "histogram of grey levels",
        ),
        page.table(
            ("grey level at", *(f"{each} %" for each in GREY_PERCENTILES)),
            [(name, *map(str, levels)) for name, levels in report.grey.items()],
        ),
        page.heading("What the cine shows of the 82 phenotypes"),
        page.paragraph(VISIBLE),
    ]
    return page.render_page("CardioNets cohort report", statement.description, parts)


def _facts(report: Report) -> list[tuple[str, str]]:
    statement, seconds = report.made.statement, report.seconds
    return [
        ("subjects", f"{statement.test} test, {statement.calibration} calibration, "
                     f"{statement.train} train; {statement.cines} cines"),
        ("seed", str(statement.seed)),
        ("recipe of the ECGs", statement.recipe),
        ("nuisance of the cines", str(statement.nuisance)),
        ("test subjects (SHA-256)", statement.test_digest),
        ("phenotypes", str(len(PHENOTYPES))),
        ("ECGs measured", str(len(report.measures["qrs_duration_ms"]))),
        ("one core makes", f"{1.0 / seconds['ecg']:.0f} ECGs/s, {1.0 / seconds['cine']:.1f} "
                           "cines/s (CPU time, measured in this run)"),
    ]  # fmt: skip


def _distributions(report: Report) -> bytes:
    """Of the subjects whose signal was measured, so that all are of the same people."""
    count = len(report.measures["qrs_duration_ms"])
    columns = traits(report.population) | report.measures
    return figures.draw_distributions(
        {name: columns[name][:count] for name in SHOWN}, report.population.male[:count]
    )


def _examples(report: Report) -> list[str]:
    """One ECG a kind: the first subject with it and nothing else that changes an ECG as much."""
    c, seed = report.population.conditions, report.made.statement.seed or 0
    clean = members(report.population)
    healthy = clean[Group.HEALTHY_MEN] | clean[Group.HEALTHY_WOMEN]
    still = ~c.fibrillation & (c.territory == Territory.NONE)
    normal = c.conduction == Conduction.NORMAL
    old_infarct = (c.territory == Territory.ANTERIOR) & (c.scar > 0.12)
    kinds = {
        "Normal": healthy,
        "Left bundle branch block": still & (c.conduction == Conduction.LEFT_BUNDLE_BRANCH_BLOCK),
        "Right bundle branch block": still & (c.conduction == Conduction.RIGHT_BUNDLE_BRANCH_BLOCK),
        "Old anterior infarct": old_infarct & normal & ~c.fibrillation,
        "Atrial fibrillation": c.fibrillation & normal & (c.territory == Territory.NONE),
        "Hypertrophic cardiomyopathy": still
        & normal
        & (c.cardiomyopathy == Cardiomyopathy.HYPERTROPHIC),
    }
    parts = []
    for title, group in kinds.items():
        found = np.flatnonzero(group)
        if not found.size:
            parts.append(page.paragraph(f"{title}: no subject in this set."))
            continue
        sheet = figures.draw_example(report.population, int(found[0]), seed=seed, title=title)
        parts.append(page.picture(sheet, f"ECG: {title}"))
    return parts


def _cine_sheet(report: Report, real: list[NDArray[np.uint8]]) -> bytes:
    population, seed = report.population, report.made.statement.seed or 0
    shown = range(min(CINES_SHOWN, population.size))
    columns = [
        (_sitter(population, index), figures.pick_frames(population, index, seed=seed))
        for index in shown
    ]
    columns += [("real", figures.pick_real_frames(cine)) for cine in real]
    return figures.draw_cines(columns)


def _sitter(population: Population, index: int) -> str:
    ejection = 100.0 * (1.0 - population.lvesv_ml[index] / population.lvedv_ml[index])
    sex = "M" if population.male[index] else "F"
    return f"{sex} {population.age_years[index]:.0f} y, EF {ejection:.0f} %"
