"""WFDB records whose every stored number is chosen by the test, written by hand (format 16)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
"""The order of MIMIC-IV-ECG: aVF before aVL."""


def counts_of(n_leads: int, n_samples: int) -> NDArray[np.int16]:
    """(n_samples, n_leads) that differ from lead to lead and from sample to sample."""
    sample, place = np.indices((n_samples, n_leads))
    return (200 * (place + 1) - 3 * sample).astype(np.int16)


def write_record(
    path: Path,
    *,
    leads: Sequence[str] = MIMIC_LEADS,
    counts: NDArray[np.int16] | None = None,
    gain: str = "200.0(0)/mV",
    gains: dict[str, str] | None = None,
    frequency: str = " 500",
    declared_samples: int | None = None,
    checksum_off: int = 0,
    comments: Sequence[str] = (),
) -> Path:
    """Write `path`.hea and `path`.dat; gives the header's path."""
    stored = counts_of(len(leads), 20) if counts is None else counts
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{path.name} {len(leads)}{frequency} {declared_samples or len(stored)}"]
    for place, lead in enumerate(leads):
        total = (int(stored[:, place].astype(int).sum()) + checksum_off) % 65536
        checksum = total - 65536 if total > 32767 else total
        stated = (gains or {}).get(lead, gain)
        lines.append(f"{path.name}.dat 16 {stated} 16 0 {stored[0, place]} {checksum} 0 {lead}")
    header = path.with_suffix(".hea")
    header.write_text("\n".join([*lines, *(f"# {text}" for text in comments)]) + "\n")
    path.with_suffix(".dat").write_bytes(stored.astype("<i2").tobytes())
    return header
