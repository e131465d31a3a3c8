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

ASKED = {"ecg_and_subject": "ECG + subject", "ecg_only": "ECG only"}
SHOWN = ("24100", "24101", "24102", "24103", "24104", "24105")
"""Phenotypes in the card: volumes, function and mass of the left ventricle."""
CINES = {
    "mean_image_redrawn": "mean image, through the autoencoder",
    "model_mean": "mean of samples, own ECG",
    "model_mean_shuffled": "mean of samples, another's ECG",
    "model_sample": "one sample, own ECG",
    "model_sample_shuffled": "one sample, another's ECG",
    "reconstruction": "own cine through the autoencoder",
}
"""Rows in the card."""


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
    """Tables of the main figures of metrics.json; all others are in that file."""
    rows = [*_of_ecg(metrics.get("ecg")), *_of_cine(metrics.get("cine"))]
    if not rows:
        return "Nothing."
    told = "On test subjects whom neither training nor calibration has seen; in brackets 95 %, "
    told += "bootstrap over subjects. Every other figure is in `metrics.json`."
    table = [f"| {name} | {figure} |" for name, figure in rows]
    return "\n".join([told, "", "| figure | reached |", "|---|---|", *table])


def _of_ecg(ecg: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if ecg is None:
        return
    yield "test subjects, ECG to numbers", str(ecg["subjects"])
    for name, asked in ASKED.items():
        yield f"sum of R2 over the phenotypes, {asked}", _text(ecg["r2_sum"][name])
        if name in ecg["share_of_oracle"]:
            yield (
                f"of the oracle's that knows as much, {asked}",
                _text(ecg["share_of_oracle"][name]),
            )
    yield "sum of R2, ECG + subject less demographics", _text(ecg["gain_over_demographics"])
    yield "sum of R2, ridge on ECG features", _text(ecg["r2_sum"]["ecg_features"])
    for name, asked in ASKED.items():
        intervals = ecg["intervals"][name]
        yield f"coverage of 90 % intervals, {asked}", _text(intervals["mean"])
        yield (
            f"lowest coverage, {asked}",
            f"{intervals['lowest']:.3f} ({intervals['lowest_field']})",
        )
    for of in ecg["phenotypes"]:
        if of["field_id"] in SHOWN:
            scores = of["scores"]
            told = ", ".join(
                f"{asked} {_text(scores[name]['r2'])}" for name, asked in ASKED.items()
            )
            error = _text(scores["ecg_and_subject"]["absolute_error"])
            yield f"R2 of {of['name']}", told
            yield f"mean error of {of['name']} ({of['unit']}), ECG + subject", error
    for disease in ecg["diseases"]:
        screening = disease["screening"]["ecg_and_subject"]
        share = f"{screening['positives']} of {screening['subjects']}"
        yield f"AUROC of {disease['name']} ({share}), ECG + subject", _text(screening["auroc"])
    for each in ecg["from_scratch"]:
        told = f"{each['labels']:.0%} of the labels ({each['subjects']})"
        yield (
            f"sum of R2, aligned less scratch, {told}, ECG only", _text(each["gain"]["ecg_only"])
        )  # fmt: skip


def _of_cine(cine: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if cine is None:
        return
    yield (
        "test subjects, cines",
        f"{cine['subjects']}, {cine['samples']} samples each, nuisance {cine['nuisance']}, ECG only",
    )
    for row, title in CINES.items():
        if row in cine["scores"]:
            of_row = cine["scores"][row]["whole"]
            yield (
                f"SSIM and PSNR (dB): {title}",
                f"{_text(of_row['ssim'])}, {_text(of_row['psnr_db'])}",
            )
    for mode, share in cine["share_of_ideal"].items():
        whole = share["whole"]
        yield (
            f"own less another's ECG, over the ideal sampler's, {mode} (SSIM, PSNR)",
            f"{_text(whole['ssim'])}, {_text(whole['psnr_db'])}",
        )
    yield "sharpness of samples over reconstructions", _text(cine["sharpness"])
    if cine["diversity"] is not None:
        yield "diversity of samples over the ideal sampler's", _text(cine["diversity"])
    for volume in cine["volumes"]:
        yield (
            f"squared correlation of {volume['name']} on the pixels of the mean of the samples",
            f"{_text(volume['by']['mean'])}, over the network's {_text(volume['share_of_network']['mean'])}",
        )


def _text(figure: Mapping[str, float | None]) -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None or low is None or high is None:
        return "–"
    return f"{value:.3g} ({low:.3g} to {high:.3g})"
