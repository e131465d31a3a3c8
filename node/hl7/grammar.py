"""What the standard calls a field, by hl7apy's tables."""

from __future__ import annotations

from dataclasses import dataclass

from hl7apy import load_reference
from hl7apy.exceptions import ChildNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDefinition:
    """One field of a version."""

    name: str
    data_type: str


def definition_of(place: str, version: str) -> FieldDefinition | None:
    """The field at a place like "PID-3"; None where that version has none."""
    try:
        found = load_reference(place.replace("-", "_"), "Field", version)
    except ChildNotFound:
        return None
    return FieldDefinition(name=found[3].replace("_", " ").capitalize(), data_type=found[2])
