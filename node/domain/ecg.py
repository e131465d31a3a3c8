"""A 12-lead ECG as physical values, its subject, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Lead(Enum):
    """The twelve standard leads, in the order every array of this project has."""

    I = "I"  # noqa: E741  the lead's name
    II = "II"
    III = "III"
    AVR = "aVR"
    AVL = "aVL"
    AVF = "aVF"
    V1 = "V1"
    V2 = "V2"
    V3 = "V3"
    V4 = "V4"
    V5 = "V5"
    V6 = "V6"


STANDARD_LEADS: tuple[Lead, ...] = tuple(Lead)


@dataclass(frozen=True, slots=True, kw_only=True)
class ECGRecord:
    """The rhythm recording of one ECG instance.

    samples: (n_samples, n_leads) float32 millivolts, column k is `leads[k]`; NaN where the device
    declared padding. Leads come in the order of `Lead`, each at most once, possibly not all twelve.
    """

    samples: NDArray[np.float32] = field(repr=False)
    leads: tuple[Lead, ...]
    sampling_frequency_hz: float
    derived_leads: frozenset[Lead] = frozenset()
    """Leads computed from I and II because the object stored eight."""
    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    notch_hz: float | None = None
    """Filters the device says it applied (003A,0220–0222)."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.shape[1] != len(self.leads):
            raise ValueError("samples must be (n_samples, n_leads) with one column a lead")
        if self.sampling_frequency_hz <= 0:
            raise ValueError("sampling_frequency_hz must be above 0")
        if list(self.leads) != [lead for lead in Lead if lead in self.leads]:
            raise ValueError("leads must follow the order of Lead, each once")
        self.samples.setflags(write=False)

    @property
    def duration_s(self) -> float:
        return float(self.samples.shape[0] / self.sampling_frequency_hz)

    def lead(self, lead: Lead) -> NDArray[np.float32]:
        """(n_samples,) millivolts of one lead. Raises ValueError when it was not recorded."""
        column: NDArray[np.float32] = self.samples[:, self.leads.index(lead)]
        return column


def derive_limb_leads(
    samples: NDArray[np.float32], leads: tuple[Lead, ...]
) -> tuple[NDArray[np.float32], tuple[Lead, ...]]:
    """Samples and leads with III, aVR, aVL and aVF added where they follow from I and II.

    (n_samples, n_leads) in, in the order of `Lead`; out the same with up to four columns more.
    Source: Einthoven III = II − I; Goldberger aVR = −(I + II)/2, aVL = I − II/2, aVF = II − I/2.
    """
    columns = {lead: samples[:, k] for k, lead in enumerate(leads)}
    if Lead.I in columns and Lead.II in columns:
        one, two = columns[Lead.I], columns[Lead.II]
        columns = {
            Lead.III: two - one,
            Lead.AVR: -(one + two) / 2,
            Lead.AVL: one - two / 2,
            Lead.AVF: two - one / 2,
        } | columns
    ordered = tuple(lead for lead in Lead if lead in columns)
    return np.stack([columns[lead] for lead in ordered], axis=1), ordered


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the ECG object says of the person, for the model. Not shown by repr."""

    age_years: float | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    """"M", "F" or None."""
    height_cm: float | None = field(default=None, repr=False)
    weight_kg: float | None = field(default=None, repr=False)


class Severity(Enum):
    """What a finding does to the result."""

    REFUSE = "refuse"
    """No estimate is made; the report says why."""
    NOTE = "note"
    """An estimate is made and the finding is written into every result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One named thing about the ECG or its subject, in words a cardiologist reads."""

    code: str
    """Stable kebab-case name, e.g. `lead-missing`."""
    severity: Severity
    message: str
    """One sentence; never holds patient data."""
    leads: tuple[Lead, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityReport:
    """The verdict of the quality gate."""

    findings: tuple[Finding, ...] = ()

    @property
    def accepted(self) -> bool:
        return all(finding.severity is not Severity.REFUSE for finding in self.findings)
