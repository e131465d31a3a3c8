"""What the cohort report shows, and the page made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort import figures, page
from pipelines.cohort.conditions import Cardiomyopathy, Conduction, Territory
from pipelines.cohort.phenotypes import PHENOTYPES
from pipelines.cohort.population import Population
from pipelines.cohort.targets import (
    CONTRADICTIONS,
    CORRELATION_TOLERANCE,
    EXPLAINED_TOLERANCE,
    MEAN_TOLERANCE,
    SPREAD_TOLERANCE,
    Group,
    Row,
    members,
    traits,
)
from pipelines.datasets.training_set import TrainingSet

SHOWN: Final = (
    "24100", "24101", "24103", "24105", "24106", "24109", "24110", "24114",
    "24118", "24140", "24157", "24174", "24181", "age_years", "heart_rate_bpm", "qrs_duration_ms",
)  # fmt: skip
CINES_SHOWN: Final = 8
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


def render_report(
    report: Report, simulated: NDArray[np.uint8], real: list[NDArray[np.uint8]]
) -> str:
    """The report as one HTML page. simulated, real: cines for the grey levels and the sheet."""
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
