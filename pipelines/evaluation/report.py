"""A training measured whole: metrics.json, and report.html without anything beside it."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Final

from pipelines.cohort import page
from pipelines.evaluation.cine import CineFigures, Gallery, evaluate_cines
from pipelines.evaluation.cine_section import cine_parts, fusion_parts
from pipelines.evaluation.ecg import EcgFigures, evaluate_ecg
from pipelines.evaluation.ecg_section import ecg_parts
from pipelines.evaluation.fusion import FusionFigures, evaluate_fusion
from pipelines.evaluation.readers import Tick
from pipelines.training.bundle import served_pipeline
from pipelines.training.run import Training

METRICS: Final = "metrics.json"
REPORT: Final = "report.html"
DIGITS: Final = 6
"""Of a figure in metrics.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that is measured on the test subjects."""

    ecg: EcgFigures
    cine: CineFigures | None
    """None where fewer than two test subjects have a cine."""
    fusion: tuple[FusionFigures, ...]
    """Nothing before cardionets compare has trained it."""


def evaluate(training: Training, *, fit: int, cines: int, bank: int, tick: Tick) -> Evaluation:
    """Measure a finished training; write metrics.json and report.html into its folder.

    Cines are those that its bundle draws. fit: as in `evaluate_ecg`; cines and bank: count
    and bank of `evaluate_cines`.
    Raises UnusableData (a stage is not finished).
    """
    data, cine, gallery = training.data, None, None
    if len(data.cines_of(data.statement.test_part)) < 2:
        ecg = evaluate_ecg(training, fit=fit, tick=tick)
    else:
        pipeline = served_pipeline(training)  # torch exports nothing while another thread computes
        with ThreadPoolExecutor(1) as beside:  # the halves share nothing: a core for each
            drawn = beside.submit(
                evaluate_cines, training, pipeline, count=cines, bank=bank,
                tick=lambda share: tick(0.6 * share),
            )  # fmt: skip
            ecg = evaluate_ecg(training, fit=fit, tick=lambda share: tick(0.4 * share))
            cine, gallery = drawn.result()
    found = Evaluation(ecg=ecg, cine=cine, fusion=evaluate_fusion(training))
    text = json.dumps(metrics_of(found, training), indent=2, allow_nan=False)
    (training.folder / METRICS).write_text(text + "\n", encoding="utf-8")
    (training.folder / REPORT).write_text(render_report(found, gallery, training), encoding="utf-8")
    return found


def metrics_of(evaluation: Evaluation, training: Training) -> dict[str, Any]:
    """What metrics.json holds: null is a figure that cannot be computed."""
    statement, configuration = training.data.statement, training.configuration
    told = {
        "name": configuration.name,
        "version": configuration.version,
        "test_digest": statement.test_digest,
        "nuisance": statement.nuisance,
        "simulated": statement.simulated,
    }
    rounded: dict[str, Any] = _rounded({"training": told} | asdict(evaluation))
    return rounded


def render_report(evaluation: Evaluation, gallery: Gallery | None, training: Training) -> str:
    """The page."""
    statement, configuration = training.data.statement, training.configuration
    facts = [
        ("training", f"{configuration.name} {configuration.version}, seed {configuration.seed}"),
        ("subjects", f"{statement.test} test, {statement.calibration} calibration, "
                     f"{statement.train} train; {statement.cines} cines"),
        ("recipe of the ECGs", statement.recipe),
        ("test subjects (SHA-256)", statement.test_digest),
    ]  # fmt: skip
    parts = [
        page.heading("What this is"),
        page.table(("", ""), facts),
        page.paragraph(
            "Everything is measured on the test subjects, whom neither training nor calibration "
            "has seen. In brackets: 95 % intervals, bootstrap over subjects, the same resamples "
            "for every reader."
        ),
        *cine_parts(evaluation.cine, gallery),
        *fusion_parts(evaluation.fusion),
        *ecg_parts(evaluation.ecg),
    ]
    return page.render_page(
        f"CardioNets evaluation: {configuration.name}", _banner(training), parts
    )


def _banner(training: Training) -> str:
    statement = training.data.statement
    return statement.description if statement.simulated else f"Trained on {statement.description}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
