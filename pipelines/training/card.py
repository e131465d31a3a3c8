"""The model card: what a bundle is, how good it was measured to be, and where it ends."""

from __future__ import annotations

from typing import Any

from pipelines.manifest import Manifest


def write_card(manifest: Manifest, metrics: dict[str, Any]) -> str:
    """MODEL_CARD.md from the manifest and the measured figures; nothing is typed in by hand."""
    cine, mean = metrics["cine"], metrics["mean"]
    rows = "\n".join(
        f"| {row['name']} | {row['unit']} | {row['r2']:.2f} | {row['r2_ecg_only']:.2f} "
        f"| {row['r2_demographics_only']:.2f} | {row['r2_ridge_ecg_only']:.2f} "
        f"| {row['mean_absolute_error']:.1f} | {row['coverage']:.3f} |"
        for row in metrics["phenotypes"].values()
    )
    screens = "\n".join(
        f"| {name} | {row['prevalence']:.3f} | {row['mean_probability']:.3f} "
        f"| {row['auroc']:.3f} | {row['auroc_ecg_only']:.3f} |"
        for name, row in metrics["diseases"].items()
    )
    return f"""# {manifest.name} {manifest.version}

**Trained on a simulated cohort. Not for clinical use.**

{manifest.title}. Offers {manifest.capabilities_text}. Licence: {manifest.licence}.

## What it is

A strided convolutional network reads 10 s of a 12-lead ECG in millivolts (recipe
`{manifest.preprocessing}`) and, where they are known, age, sex, height and weight. It gives the mean
and spread of every phenotype and the probability of each disease. A second network draws the cine
from those means: what is seen is the heart the numbers describe, the *conditional mean* given the
ECG, not a sample and not the patient's own picture. The cine carries no anatomy beyond those numbers
and is smoother than an acquired one.

Intervals are split-conformal, {manifest.interval_coverage:.0%} nominal, calibrated with and without
the subject's data.

## What it was trained on

{manifest.training_data}. Subjects: {manifest.population.description}. Left ventricular geometry,
motion and dipole are coupled by design, so the figures below say how much of *that* coupling the
network reads, and nothing about real patients. The simulation holds no bundle branch block, no
pacing and no ectopy, and 2 % atrial fibrillation.

## Figures, on {metrics["test_subjects"]} simulated subjects never seen before

Mean R² {mean["r2"]:.3f}; ECG alone {mean["r2_ecg_only"]:.3f}; demographics alone
{mean["r2_demographics_only"]:.3f}; ridge on ECG features {mean["r2_ridge_ecg_only"]:.3f}. Mean
interval coverage {mean["coverage"]:.3f}, without the subject's data {mean["coverage_ecg_only"]:.3f}.

| phenotype | unit | R² | ECG only | demographics only | ridge, ECG only | mean error | coverage |
|---|---|---|---|---|---|---|---|
{rows}

| screen | prevalence | mean probability | AUROC | ECG only |
|---|---|---|---|---|
{screens}

Cine, {cine["test_cines"]} subjects, to the subject's own: SSIM {cine["ssim_from_ecg"]:.3f} drawn from
the ECG, {cine["ssim_from_another_ecg"]:.3f} from another subject's ECG, {cine["ssim_mean_image"]:.3f}
for the mean image; PSNR {cine["psnr_db_from_ecg"]:.1f}, {cine["psnr_db_from_another_ecg"]:.1f} and
{cine["psnr_db_mean_image"]:.1f} dB.

## Limits

Never seen a patient. Not for children, pacemakers, or ECGs that the quality gate refuses. Disease
probabilities hold for the simulated prevalence only.
"""
