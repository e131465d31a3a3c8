"""The model card: what a bundle is, how good it was measured to be, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.manifest import Manifest

DRAWN = {
    "layout": (
        "the cine is laid out whole by one vector of noise and decoded: a *sample* of the hearts "
        "that go with the ECG, not the patient's own picture"
    ),
    "masked-autoregressive": (
        "the cine is drawn token by token from noise: a *sample* of the hearts that go with the "
        "ECG, not the patient's own picture"
    ),
}


def write_card(manifest: Manifest, metrics: Mapping[str, Any]) -> str:
    """MODEL_CARD.md from the manifest and the measured figures; nothing is typed in by hand."""
    warning = "**Trained on a simulated cohort. Not for clinical use.**\n\n"
    drawn = DRAWN[manifest.sampler.kind] if manifest.sampler else "the cine is not drawn from noise"
    return f"""# {manifest.name} {manifest.version}

{warning if manifest.simulated else ""}{manifest.title}. Offers {manifest.capabilities_text}.
Licence: {manifest.licence}.

## What it is
A transformer reads a 12-lead ECG (recipe `{manifest.preprocessing}`) and, where they are known, age,
sex, height and weight. It gives every phenotype with its spread and every disease's probability;
{drawn}. Intervals are split-conformal, {manifest.interval_coverage:.0%} nominal, set with and without
the subject's data.

## Use
{manifest.intended_use}

## Training
{manifest.training_data}. Subjects: {manifest.population.description}.

## Measured
{_figures(metrics)}

## Limits
Not for children, pacemakers, or ECGs that the quality gate refuses. Disease probabilities hold for
the prevalence in the training data only.
"""


def _figures(metrics: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in _leaves(metrics, ())]
    return "\n".join(["| figure | value |", "|---|---|", *rows]) if rows else "Nothing."


def _leaves(metrics: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """Every number with the path to it."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, name))
        elif isinstance(value, int | float):
            yield " · ".join((*above, name)), float(value)
