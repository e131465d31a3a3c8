"""Coded meanings: what a number is called so that other systems understand it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One concept of one coding scheme.

    Source: DICOM PS3.3 Table 8.8-1 (Code Value, Coding Scheme Designator, Code Meaning); HL7 v2.5.1
    chapter 2A, CE.
    """

    value: str
    scheme: str
    """DICOM designator, e.g. "LN", "SCT", "DCM", "UCUM", "99CARDIONODE"."""
    meaning: str

    def __post_init__(self) -> None:
        if not (self.value and self.scheme and self.meaning):
            raise ValueError("a code needs a value, a scheme and a meaning")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptCode:
    """How one field of a bundle is coded: the concept, where it was found, and its unit."""

    code: Code
    site: Code | None = None
    """Finding site that, with `code`, makes up a post-coordinated concept."""
    unit: Code
    """UCUM."""

    def __post_init__(self) -> None:
        if self.unit.scheme != "UCUM":
            raise ValueError("a unit is coded in UCUM")
