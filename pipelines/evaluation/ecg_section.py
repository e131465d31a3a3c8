"""What the report says of the ECG network: parts of a page made of its figures."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from pipelines.cohort import page
from pipelines.evaluation import plots
from pipelines.evaluation.bootstrap import Measured
from pipelines.evaluation.ecg import BEST, EcgFigures, PhenotypeFigures
from pipelines.evaluation.readers import MODEL

TITLES: Final = {
    "ecg_and_subject": "model, ECG + subject",
    "ecg_only": "model, ECG only",
    "mean": "mean of the training subjects",
    "demographics": "demographics only",
    "ecg_features": "ridge on ECG features",
    "ecg_features_and_demographics": "ridge on ECG features + demographics",
    "oracle_ecg": "oracle, ECG only",
    "oracle_ecg_and_subject": "oracle, ECG + subject",
}
"""Reader -> how the report calls it."""
SHOWN: Final[tuple[str, ...]] = (
    "ecg_and_subject",
    "ecg_only",
    "demographics",
    "ecg_features",
    "oracle_ecg",
)
"""Readers in the table of phenotypes; the others are in metrics.json."""
ORACLE: Final = (
    "The oracle is told the true electrical traits, rhythm, conduction, scar and muscle disease of "
    "each simulated subject, as far as an ECG without noise shows them; of gradient boosting and a "
    "ridge it takes for each phenotype what is better on training subjects held back. No reader of "
    "ECGs can be expected to pass it."
)
SCRATCH: Final = (
    "The same network and labelled subjects from the aligned encoder and from a new one; each took "
    "the learning rate and the length, with the encoder trained or frozen, that were best on the "
    "calibration subjects, for each way of asking (trials: start, share of labels, rate over the "
    "stage's own, steps). Targets are standardised by all training subjects in both."
)
CALIBRATED: Final = (
    "At the true prevalence of the test subjects. Average precision by chance is the prevalence. "
    "Plots: model with ECG + subject, in tenths of the subjects, bars are 95 % (Wilson)."
)


def ecg_parts(figures: EcgFigures) -> list[str]:
    """HTML of all sections."""
    return [
        *_readers(figures),
        *_from_scratch(figures),
        *_intervals(figures),
        *_diseases(figures),
        *_recall(figures),
        *_phenotypes(figures),
    ]


def text_of(figure: Measured, digits: int = 3) -> str:
    """Value and interval; a dash for what cannot be computed."""
    if not math.isfinite(figure.value):
        return "–"
    return f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


def _readers(figures: EcgFigures) -> list[str]:
    count = sum(each.subjects > 0 for each in figures.phenotypes)
    rows = [
        (
            TITLES[name],
            text_of(total, 2),
            f"{total.value / count:.3f}",
            text_of(figures.share_of_oracle[name]) if name in figures.share_of_oracle else "",
        )
        for name, total in figures.r2_sum.items()
    ]
    parts = [
        page.heading("Phenotypes: who reads them how well"),
        page.table(("", f"sum of R2 over {count}", "mean R2", "share of the oracle's sum"), rows),
        page.paragraph(
            "ECG + subject less demographics only, sum of R2: "
            f"{text_of(figures.gain_over_demographics, 2)}, in pairs. Ridge on ECG features and "
            f"oracle were fitted on {figures.fitted} training subjects."
        ),
    ]
    if figures.share_of_oracle:
        parts.append(page.paragraph(ORACLE))
        for name, best in BEST.items():
            drawn = plots.plot_against_oracle(figures.phenotypes, name, best)
            parts += [page.paragraph(TITLES[name]), page.picture(drawn, "R2 against the oracle")]
    return parts


def _from_scratch(figures: EcgFigures) -> list[str]:
    title = page.heading("Alignment against training from scratch")
    if not figures.from_scratch:
        return [title, page.paragraph("Not measured: cardionets compare has not run.")]
    rows = [
        (
            f"{each.labels:.0%} ({each.subjects})", TITLES[name],
            text_of(each.aligned[name], 2), text_of(each.scratch[name], 2),
            text_of(each.gain[name], 2), ", ".join(each.chosen[name].values()),
        )
        for each in figures.from_scratch
        for name in MODEL
    ]  # fmt: skip
    head = ("labels", "asked with", "aligned, sum of R2", "scratch", "difference", "trials taken")
    drawn = plots.plot_from_scratch(figures.from_scratch, "ecg_only")
    return [
        title,
        page.paragraph(SCRATCH),
        page.table(head, rows),
        page.paragraph(TITLES["ecg_only"]),
        page.picture(drawn, "sum of R2 over labelled subjects"),
    ]


def _intervals(figures: EcgFigures) -> list[str]:
    everyone = [("all", figures.subjects, figures.intervals, None)]
    groups = [
        (each.name, each.subjects, each.intervals, each.r2_mean) for each in figures.subgroups
    ]
    rows = [
        (
            who, str(count), TITLES[name],
            text_of(intervals[name].mean), f"{intervals[name].lowest:.3f}",
            intervals[name].lowest_field, "" if r2 is None else f"{r2[name]:.3f}",
        )
        for who, count, intervals, r2 in [*everyone, *groups]
        for name in MODEL
    ]  # fmt: skip
    head = ("", "subjects", "", "mean coverage", "lowest", "field", "mean R2 within")
    return [
        page.heading("Prediction intervals of 90 %, and subgroups"),
        page.table(head, rows),
    ]


def _diseases(figures: EcgFigures) -> list[str]:
    title = page.heading("Diseases")
    if not figures.diseases:
        return [title, page.paragraph("Not measured: no label is known.")]
    rows = [
        (
            disease.name, TITLES[name], f"{each.positives} of {each.subjects}",
            text_of(each.auroc), text_of(each.average_precision),
            f"{each.positives / each.subjects:.3f} / {each.mean_probability:.3f}",
            f"{each.calibration_error:.4f}", f"{each.brier:.4f}",
        )
        for disease in figures.diseases
        for name, each in disease.screening.items()
    ]  # fmt: skip
    head = (
        "", "", "positives", "AUROC", "average precision", "observed / predicted",
        "calibration error", "Brier",
    )  # fmt: skip
    drawn = plots.plot_calibration(figures.diseases, "ecg_and_subject")
    return [
        title,
        page.paragraph(CALIBRATED),
        page.table(head, rows),
        page.picture(drawn, "calibration of disease probabilities"),
    ]


def _recall(figures: EcgFigures) -> list[str]:
    title = page.heading("Alignment: who belongs together")
    if not figures.recall:
        return [title, page.paragraph("Not measured: too few test subjects have a cine.")]
    rows = [
        (
            f"recall at {each.depth}",
            text_of(each.ecg_to_cmr),
            text_of(each.cmr_to_ecg),
            f"{each.chance:.3f}",
        )
        for each in figures.recall
    ]
    return [title, page.table(("", "ECG to CMR", "CMR to ECG", "chance"), rows)]


def _phenotypes(figures: EcgFigures) -> list[str]:
    names = [name for name in SHOWN if name in figures.r2_sum]
    head = (
        "", "", "unit", *(f"R2 {TITLES[name]}" for name in names), "gain over demographics",
        "mean error", "r", "coverage",
    )  # fmt: skip
    return [
        page.heading("Every phenotype"),
        page.paragraph("Mean error, r and coverage are of the model with ECG + subject."),
        page.table(head, _phenotype_rows(figures.phenotypes, names)),
    ]


def _phenotype_rows(
    phenotypes: Iterable[PhenotypeFigures], names: list[str]
) -> Iterable[tuple[str, ...]]:
    for each in phenotypes:
        own = each.scores["ecg_and_subject"]
        yield (
            each.field_id, each.name, each.unit,
            *(text_of(each.scores[name].r2, 2) for name in names),
            text_of(each.gain, 2), text_of(own.absolute_error, 2), text_of(own.correlation, 2),
            f"{each.coverage['ecg_and_subject']:.3f}",
        )  # fmt: skip
