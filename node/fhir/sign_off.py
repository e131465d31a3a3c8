"""A report that was sent, signed by a person: the same resources, final."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from node.domain.user import Signature
from node.domain.wording import READ_FROM_ECG, SYNTHETIC, reading_signed_by, signed_by

_FINAL: Final = "final"
_ERROR: Final = "entered-in-error"


def sign_report(
    sent: bytes, *, identifier: str, signature: Signature, reports: Mapping[str, str]
) -> bytes:
    """The transaction that tells the same as final, with who signed it and when.

    A document does not go out again: it says itself that nobody has verified it.
    identifier: a UUID for the transaction. reports: the SOP Instance UID of each report that an
    archive has, and of its signed copy, which is named in its place.
    Source: FHIR R4, diagnosticreport-definitions.html (issued, resultsInterpreter).
    """
    from fhir.resources.R4B.bundle import Bundle

    from node.fhir.terminology import named

    bundle: Any = Bundle.model_validate_json(sent)
    bundle.identifier = named(identifier)
    for entry in bundle.entry:
        if entry.resource.status != _ERROR:
            _sign(entry.resource, signature, reports)
    text: str = bundle.model_dump_json()
    return text.encode()


def _sign(resource: Any, signature: Signature, reports: Mapping[str, str]) -> None:
    from fhir.resources.R4B.identifier import Identifier

    from node.fhir.terminology import (
        NOT_VERIFIED,
        PRIVATE_SYSTEM,
        coding,
        dicom_uid,
        logical,
    )

    resource.status = _FINAL
    resource.issued = signature.signed_at
    unverified = coding(NOT_VERIFIED).code
    resource.meta.tag = [tag for tag in resource.meta.tag if tag.code != unverified] or None
    if not (resource.meta.tag or resource.meta.security):
        resource.meta = None
    if resource.get_resource_type() == "DiagnosticReport":
        resource.conclusion = _signed(resource.conclusion, signature)
        resource.presentedForm = None
        named = {dicom_uid(unsigned).value: signed for unsigned, signed in reports.items()}
        resource.identifier = [
            dicom_uid(named[each.value]) if each.value in named else each
            for each in resource.identifier
        ]
        signer = Identifier(system=PRIVATE_SYSTEM, value=signature.user_name)
        interpreter = logical("Practitioner", signer, display=signature.readable_name)
        resource.resultsInterpreter = [interpreter]
        return
    for note in resource.note:
        note.text = _signed(note.text, signature)


def _signed(text: str, signature: Signature) -> str:
    """Without what says that nobody has verified it."""
    signed = text.replace(SYNTHETIC, signed_by(signature))
    return signed.replace(READ_FROM_ECG, reading_signed_by(signature))
