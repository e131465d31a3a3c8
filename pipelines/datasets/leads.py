"""Twelve leads out of named channels: by name, never by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from node.domain.ecg import STANDARD_LEADS, ECGRecord, Lead, derive_limb_leads
from node.domain.errors import UnusableData

_LEAD_OF_NAME: Final = {lead.value.upper(): lead for lead in Lead}


def lead_named(name: str | None) -> Lead | None:
    """The standard lead of that name in any case, None for others (MLII, vx, PLETH)."""
    return _LEAD_OF_NAME.get((name or "").strip().upper())


def twelve_leads(
    columns: Mapping[Lead, NDArray[np.float64]],
    sampling_frequency_hz: float,
    *,
    high_pass_hz: float | None = None,
    low_pass_hz: float | None = None,
    notch_hz: float | None = None,
) -> ECGRecord:
    """The record of the twelve standard leads. columns: (n_samples,) millivolts each.

    III, aVR, aVL and aVF are derived where only I and II were stored.
    Raises UnusableData that names the missing leads, or when leads differ in length or are empty.
    """
    if not columns:
        raise UnusableData("no channel is one of the twelve standard leads")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1 or not lengths.pop():
        raise UnusableData("the leads are empty or differ in length")
    recorded = tuple(lead for lead in Lead if lead in columns)
    samples = np.stack([columns[lead].astype(np.float32) for lead in recorded], axis=1)
    samples, leads = derive_limb_leads(samples, recorded)
    record = ECGRecord(
        samples=samples,
        leads=leads,
        sampling_frequency_hz=sampling_frequency_hz,
        derived_leads=frozenset(leads) - frozenset(recorded),
        high_pass_hz=high_pass_hz,
        low_pass_hz=low_pass_hz,
        notch_hz=notch_hz,
    )
    require_twelve(record)
    return record


def require_twelve(record: ECGRecord) -> None:
    """Raise UnusableData that names the missing leads, if any is missing."""
    missing = [lead.value for lead in STANDARD_LEADS if lead not in record.leads]
    if missing:
        raise UnusableData(f"no lead {', '.join(missing)}")
