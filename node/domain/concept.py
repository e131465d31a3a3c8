"""The codes that results have beside those of their fields, and the code of each field."""

from __future__ import annotations

from collections.abc import Mapping

from node.domain.code import Code, ConceptCode
from node.domain.errors import BundleError
from node.domain.prediction import DiseaseProbability, Estimate

PRIVATE_SCHEME = "99CARDIONODE"

HEART_RATE = Code(value="8867-4", scheme="LN", meaning="Heart rate")
PER_MINUTE = Code(value="/min", scheme="UCUM", meaning="/min")
LOWER_UNCERTAINTY = Code(
    value="371885007", scheme="SCT", meaning="-, range of lower measurement uncertainty"
)
UPPER_UNCERTAINTY = Code(
    value="371886008", scheme="SCT", meaning="+, range of upper measurement uncertainty"
)
"""Source: DICOM PS3.16 CID 225."""


def concept_of(
    codes: Mapping[str, ConceptCode], field: Estimate | DiseaseProbability
) -> ConceptCode:
    """How a field is coded. Raises BundleError (it has no code, or one in another unit)."""
    try:
        concept = codes[field.field_id]
    except KeyError:
        raise BundleError(
            f"field {field.field_id} has no code; add it to the concept table"
        ) from None
    if isinstance(field, Estimate):
        check_unit(concept, field.field_id, field.unit)
    return concept


def check_unit(concept: ConceptCode, field_id: str, unit: str) -> None:
    """Raises BundleError (a field is in another unit than its code)."""
    if concept.unit.value != unit:
        raise BundleError(
            f"field {field_id} is in {unit} but its code is in {concept.unit.value}; correct the "
            "bundle's manifest or the concept table"
        )
