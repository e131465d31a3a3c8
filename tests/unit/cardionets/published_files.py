"""Checkpoint files in the published layout, around the reference's tiny weights."""

from __future__ import annotations

import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.cardionets.published import Geometry
from pipelines.cardionets.published_bundle import Drawing
from pipelines.cardionets.published_manifest import Checkpoints, DiseaseFile

TINY = Drawing(
    geometry=Geometry(ecg_head=16, generator_head=16, latent=(10, 6, 6), patch=(5, 2, 2)),
    ar_steps=4,
    head_steps=10,
)
PLACES = 32
"""30 patches and 2 separators: what the tiny encoder needs for the recipe's nine seconds."""


def ecg_state(vectors: Path, name: str) -> dict[str, Tensor]:
    """A tiny ECG encoder, its four positions repeated to 30; the separators keep theirs."""
    state = load_file(vectors / f"{name}.safetensors")
    places = state["pos_embedding"]
    inner = places[:, 1:-1].repeat(1, 8, 1)[:, : PLACES - 2]
    state["pos_embedding"] = torch.cat([places[:, :1], inner, places[:, -1:]], dim=1)
    return state


def write_ecg(file: Path, state: dict[str, Tensor], metrics: dict[str, Any]) -> Path:
    """As the alignment and the diseases' fine-tuning saved theirs."""
    torch.save(
        {
            "model": state,
            "optimizer": {
                "state": {0: {"step": torch.tensor(3.0)}},
                "param_groups": [{"lr": 1e-3}],
            },
            "epoch": 7,
            "scaler": {"scale": 65536.0},
            "config": {"model": {"width": 32}, "paths": ["a"], "amp": True, "seed": None},
            "metrics": metrics,
        },
        file,
    )
    return file


def write_generator(file: Path, state: dict[str, Tensor], **others: Any) -> Path:
    """As training saved it: averaged weights beside those last trained, which differ."""
    torch.save(
        {
            "model": {name: tensor + 1.0 for name, tensor in state.items()},
            "model_ema": state,
            "optimizer": {"state": {}, "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.95)}]},
            "epoch": 399,
            "scaler": {"scale": 1024.0},
            "args": Namespace(img_size=[20, 48, 48], diffloss_d=2, resume=None, cfg=3.0),
            **others,
        },
        file,
    )
    return file


def write_autoencoder(file: Path, state: dict[str, Tensor]) -> Path:
    """Flat, in half precision, with the perceptual loss's network."""
    perceptual = {
        "loss.perceptual_loss.net.slice1.0.weight": torch.zeros(4, 3, 3, 3),
        "loss.perceptual_loss.scaling_layer.shift": torch.zeros(1, 3, 1, 1),
    }
    torch.save(state | perceptual, file)
    return file


def write_all(vectors: Path, folder: Path) -> Checkpoints:
    """The published files' names, tiny."""
    return Checkpoints(
        ecg=write_ecg(
            folder / "aligned_ECG_encoder.pth", ecg_state(vectors, "ecg.tiny"), {"loss": 0.5}
        ),
        generator=write_generator(
            folder / "checkpoint-last.pth", load_file(vectors / "mar.tiny.safetensors")
        ),
        autoencoder=write_autoencoder(
            folder / "checkpoint-0004.pth", load_file(vectors / "vae.tiny.safetensors")
        ),
        diseases=(
            DiseaseFile(
                field_id="cardiomyopathy",
                name="Cardiomyopathy",
                file=write_ecg(
                    folder / "trained_by_MIMIC_CM_best-auc.pth",
                    ecg_state(vectors, "ecg_disease.tiny"),
                    {"AUC": np.float64(0.875)},
                ),
            ),
        ),
    )


def with_names_of_old_numpy(file: Path) -> None:
    """The pickle inside names numpy's modules as numpy 1.23 did."""
    with zipfile.ZipFile(file) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for entry, content in parts.items():
            renamed = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
            archive.writestr(entry, renamed if entry.endswith("data.pkl") else content)
            if entry.endswith("data.pkl"):
                assert renamed != content
