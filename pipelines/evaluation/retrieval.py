"""How well aligned encoders find each other: recall at k among the subjects with a cine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.cardionets.cmr_encoder import CmrEncoder
from pipelines.cardionets.ecg_encoder import EcgEncoder
from pipelines.datasets.training_set import TrainingSet
from pipelines.evaluation.bootstrap import Measured, measure, resamples
from pipelines.training.stage import cines, ecg_window

Array = NDArray[np.float64]
DEPTHS: Final = (1, 5, 10)
CHUNK: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Share of queries whose own partner is among the k nearest; `chance` is that of a draw."""

    depth: int
    ecg_to_cmr: Measured
    cmr_to_ecg: Measured
    chance: float


def measure_recall(
    ecg: EcgEncoder, cmr: CmrEncoder, data: TrainingSet, part: slice, *, seed: int
) -> tuple[Recall, ...]:
    """Among the cines of the part and their subjects' ECGs."""
    rows = data.cines_of(part)
    likeness = _likeness(*_embed(ecg, cmr, data, rows))
    return recall_of(likeness, seed=seed)


def recall_of(likeness: Array, *, seed: int) -> tuple[Recall, ...]:
    """likeness: (n, n), of ECG i with cine k; those of one number belong together."""
    queries = len(likeness)
    weights = resamples(queries, seed=seed) / queries
    forth, back = own_ranks(likeness), own_ranks(likeness.T)
    return tuple(
        Recall(
            depth=depth,
            ecg_to_cmr=measure(weights @ (forth < depth)),
            cmr_to_ecg=measure(weights @ (back < depth)),
            chance=min(1.0, depth / queries),
        )
        for depth in DEPTHS
    )


def own_ranks(likeness: Array) -> Array:
    """(n,) how many others are as near to query i as its own partner, or nearer: ties are lost."""
    own = np.diagonal(likeness)[:, None]
    return np.asarray((likeness >= own).sum(axis=1) - 1.0)


def _embed(
    ecg: EcgEncoder, cmr: CmrEncoder, data: TrainingSet, rows: NDArray[np.int64]
) -> tuple[Array, Array]:
    """(n, E) each; of an ECG longer than the encoder's window the middle is seen."""
    size = ecg.size
    start = (data.ecg.shape[2] - size.seq_len) // 2
    seen, shown = [], []
    with torch.inference_mode():
        for first in range(0, len(rows), CHUNK):
            some = rows[first : first + CHUNK]
            whole = data.ecg[data.cine_subject[some]][:, size.seen_leads].astype(np.float32)
            leads = ecg_window(whole, size, start)
            seen.append(ecg(torch.from_numpy(leads)).double().numpy())
            shown.append(cmr(cines(data.cine, some)).double().numpy())
    return np.concatenate(seen), np.concatenate(shown)


def _likeness(first: Array, second: Array) -> Array:
    """(n, n) cosines."""
    a, b = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (first, second))
    return np.asarray(a @ b.T)
