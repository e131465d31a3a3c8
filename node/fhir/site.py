"""What one FHIR server's site calls things: differences as data."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    time_zone: ZoneInfo
    """That of an ECG which does not say its own: FHIR has no time without one."""
    patient_system: str = ""
    """URI of what gives Patient IDs, for an ECG that names no such thing; empty: unknown."""
    finds_patient: bool = False
    """Whether results are linked with the Patient that the server has by that number, and refused
    where it has none or several; else they name the number alone."""
    order_system: str = ""
    """URI of what gives order and accession numbers, likewise."""
    category: str = "RAD"
    """Of the report, in table 0074, as OBR-24 of a message."""
    pdf: bool = False
    """Whether the summary goes along as a document."""
    is_tried: bool = False
    """Whether what it gets is of no patient, and marked so."""
