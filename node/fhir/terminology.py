"""Codes, identifiers and references as FHIR writes them.

Source: FHIR R4, terminologies-systems.html, datatypes.html, references.html#logical.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final
from urllib.parse import quote

from fhir.resources.R4B.codeableconcept import CodeableConcept
from fhir.resources.R4B.coding import Coding
from fhir.resources.R4B.identifier import Identifier
from fhir.resources.R4B.quantity import Quantity
from fhir.resources.R4B.reference import Reference

from node.domain.code import Code
from node.domain.concept import PRIVATE_SCHEME
from node.domain.identifiers import derived_uid, is_valid_uid

URI: Final = "urn:ietf:rfc:3986"
"""The system of an identifier that is a URI."""
DICOM_UID: Final = "urn:dicom:uid"
"""The system of one that is a DICOM UID, as urn:oid. Source: FHIR R4, imagingstudy.html."""
PRIVATE_SYSTEM: Final = f"urn:oid:{derived_uid('coding-scheme', PRIVATE_SCHEME)}"
NOT_VERIFIED: Final = Code(
    value="NOT-VERIFIED", scheme=PRIVATE_SCHEME, meaning="Not verified by a physician"
)
"""The tag of what no person has signed."""
_SYSTEMS: Final = {
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "UCUM": "http://unitsofmeasure.org",
    PRIVATE_SCHEME: PRIVATE_SYSTEM,
}
"""By the designator of DICOM."""
_IDENTIFIER_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def printable(text: str) -> str:
    """Without the characters that a string of FHIR must not have, and without white space around.

    Source: FHIR R4, datatypes.html#string.
    """
    return _CONTROL.sub(" ", text).strip()


def coding(code: Code) -> Coding:
    """Of a scheme that FHIR has no URI for, without one."""
    return Coding(system=_SYSTEMS.get(code.scheme), code=code.value, display=code.meaning)


def concept(*codes: Code, text: str | None = None) -> CodeableConcept:
    return CodeableConcept(coding=[coding(code) for code in codes], text=text)


def quantity(number: str, unit: Code) -> Quantity:
    """The number as other results print it; JSON does not keep zeros at its end."""
    return Quantity(
        value=Decimal(number), unit=unit.meaning, system=_SYSTEMS[unit.scheme], code=unit.value
    )


def named(value: str) -> Identifier:
    """An identifier that is a UUID of ours."""
    return Identifier(system=URI, value=f"urn:uuid:{value}")


def dicom_uid(uid: str) -> Identifier:
    return Identifier(system=DICOM_UID, value=f"urn:oid:{uid}")


def numbered(
    value: str,
    *,
    kind: str,
    authority: tuple[str, ...] = (),
    system: str = "",
) -> Identifier:
    """A number that somebody gave.

    kind: of table 0203. authority: namespace, universal id and its type; what names the system
    where it is an OID, UUID or URI, else `system` does.
    """
    namespace, universal_id, id_type = (*(printable(each) for each in authority), "", "", "")[:3]
    return Identifier(
        type=CodeableConcept(coding=[Coding(system=_IDENTIFIER_TYPES, code=kind)]),
        system=_uri(universal_id, id_type) or system or None,
        value=value,
        assigner=Reference(display=namespace) if namespace else None,
    )


def token(identifier: Identifier) -> str:
    """As a search asks for it. Source: FHIR R4, search.html#escaping; RFC 3986 §2.1."""
    escaped = (
        quote(re.sub(r"([\\,$|])", r"\\\1", part or ""), safe="")
        for part in (identifier.system, identifier.value)
    )
    return "|".join(escaped)


def _uri(universal_id: str, id_type: str) -> str:
    """Empty where it is none. Source: HL7 table 0301."""
    if id_type == "ISO":
        return f"urn:oid:{universal_id}" if is_valid_uid(universal_id) else ""
    prefix = {"UUID": "urn:uuid:", "URI": ""}.get(id_type)
    if prefix is None or not universal_id or re.search(r"\s", universal_id):
        return ""
    return f"{prefix}{universal_id}"


def logical(resource_type: str, identifier: Identifier, display: str | None = None) -> Reference:
    """To a resource that the server, or nobody, has: by what it is known as."""
    return Reference(type=resource_type, identifier=identifier, display=display)
