"""A result in words, as messages and reports tell people, and the numbers as they print them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from node.domain.prediction import Estimate, Prediction
from node.domain.reference_range import ReferenceRanges
from node.domain.user import Signature

SYNTHETIC = "AI ESTIMATE FROM ECG - SYNTHETIC - NOT VERIFIED BY A PHYSICIAN"
READ_FROM_ECG = "READ FROM THE ECG BY SOFTWARE - NOT VERIFIED BY A PHYSICIAN"
CORRECTED = "CORRECTED RESULT: replaces the one that was sent before"
SIMULATED = "Model trained on SIMULATED data: not for clinical use"
WITHDRAWN = "WITHDRAWN: the estimates that were sent before must not be used"


def report_lines(
    prediction: Prediction, ranges: ReferenceRanges, is_correction: bool = False
) -> Iterator[str]:
    """The report as a person reads it, what it is not first."""
    model = prediction.model
    yield SYNTHETIC
    if is_correction:
        yield CORRECTED
    if model.simulated:
        yield SIMULATED
    for estimate in prediction.estimates:
        lower, upper = estimate.text(estimate.lower), estimate.text(estimate.upper)
        unit = "" if estimate.unit == "1" else f" {estimate.unit}"
        yield (
            f"{estimate.name}: {estimate.text(estimate.value)}{unit} "
            f"({model.interval_coverage * 100:g} % prediction interval {lower} to {upper}{unit})"
        )
    if any(estimate.field_id in ranges.by_field for estimate in prediction.estimates):
        yield ranges.statement
    for disease in prediction.diseases:
        yield f"Probability of {disease.name}: {disease.text()}"
    yield f"Heart rate of the ECG: {heart_rate_text(prediction)} /min"
    for finding in prediction.findings:
        yield finding.message
    yield f"Model: {model.bundle} {model.version} ({model.digest[:12]}), {model.how}"


def signed_by(signature: Signature) -> str:
    """In place of SYNTHETIC, once a person has signed."""
    return f"AI ESTIMATE FROM ECG - SYNTHETIC - SIGNED BY {signature.readable_name}"


def reading_signed_by(signature: Signature) -> str:
    """In place of READ_FROM_ECG, likewise."""
    return f"READ FROM THE ECG BY SOFTWARE - SIGNED BY {signature.readable_name}"


def heart_rate_text(prediction: Prediction) -> str:
    """Whole beats a minute."""
    return f"{prediction.heart_rate_bpm:.0f}"


def distance_text(estimate: Estimate, bound: float) -> str:
    """How far a bound lies from the value: what CID 225's codes name, as in the report."""
    value = Decimal(estimate.text(estimate.value))
    return f"{abs(value - Decimal(estimate.text(bound))):f}"
