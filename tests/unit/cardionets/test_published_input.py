"""The inputs of the published networks: the recipe `published-1` and the cine's scaling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from scipy import signal

from node.domain.ecg import STANDARD_LEADS, ECGRecord
from pipelines.cardionets.cmr_encoder import condition_cine
from pipelines.preprocessing import RECIPES, StandardisedRecipe, condition

DRAWN = [0, 7]
"""Leads I and V2, whose filtered samples are recorded."""


def test_every_recorded_step_is_reproduced(
    vectors_folder: Path, assert_reproduced: Callable[..., None]
) -> None:
    """The record holds float32 millivolts where the recording was float64: within the tolerance."""
    recipe = RECIPES["published-1"]
    assert isinstance(recipe, StandardisedRecipe)
    vectors = load_file(vectors_folder / "preprocess.vectors.safetensors")
    record = ECGRecord(
        samples=vectors["input.ecg_500hz"].T.astype(np.float32),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=500.0,
    )
    resampled, filtered = recipe.resampled(record), recipe.filtered(record)
    high_passed = signal.sosfiltfilt(recipe.high_pass(), resampled[125:2375], axis=0)
    crops = [condition(record, replace(recipe, first_sample=first)) for first in (0, 125, 250)]
    given = {
        "resampled_250hz": resampled.T,
        "sos_highpass": recipe.high_pass(),
        "sos_lowpass": recipe.low_pass(),
        "crop125.highpassed_I_V2": high_passed[:, DRAWN].T,
        "crop125.lowpassed_I_V2": filtered[:, DRAWN].T,
        "crop125.mean_std": np.array([filtered.mean(), filtered.std()]),
        "crop125.output": condition(record, recipe),
        "ncrop3.output": np.stack(crops),
        "cine_normalised": condition_cine(vectors["input.cine_uint8"]),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(a)) for name, a in given.items()}
    assert_reproduced("preprocess", "preprocess.vectors.safetensors", tensors, count=9)
