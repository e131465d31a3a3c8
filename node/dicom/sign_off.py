"""A structured report that was sent, signed by a person: the same content, verified and final."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.attribute import items_of, text_of
from node.dicom.character_set import can_write
from node.dicom.composite import encode
from node.dicom.part10 import read_part10
from node.dicom.reference import FiledInstance, document_reference
from node.dicom.template import LONG_STRING, Templates
from node.domain.errors import NotPossible
from node.domain.user import Signature

_DATE_TIME: Final = "%Y%m%d%H%M%S.%f+0000"


def sign_report(
    sent: bytes,
    signature: Signature,
    *,
    predecessor: FiledInstance | None,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
) -> bytes:
    """The report as a new instance that names who verified it, and the one it replaces.

    sent: a report of ours, as a PS3.10 file. predecessor: where it is filed; None where it never
    left, so that what it replaces itself is replaced by this one.
    Raises NotPossible (another version of the templates made it, or its character set cannot write
    the signer's name), MalformedInstance (the spool has lost it).
    Source: DICOM PS3.3 Tables C.17-2 (SR Document General), C.17-1 (SR Document Series).
    """
    report = read_part10(sent)
    if not can_write(signature.person_name, _terms(report)):
        raise NotPossible(
            "the name of who signs holds a letter that the character set of the report has not; "
            'set character_set = "utf-8" for its destination and correct the job'
        )
    report.SOPInstanceUID = sop_instance_uid
    report.SeriesInstanceUID = series_instance_uid
    title = text_of(report, "SeriesDescription") + templates.report.signed
    report.SeriesDescription = title[:LONG_STRING]
    report.VerificationFlag = "VERIFIED"
    report.PreliminaryFlag = "FINAL"
    report.VerifyingObserverSequence = [_observer(signature)]
    if predecessor is not None:
        report.PredecessorDocumentsSequence = [document_reference(predecessor)]
    _put_words(report, templates)
    return encode(report)


def _observer(signature: Signature) -> Dataset:
    observer = Dataset()
    observer.VerifyingOrganization = signature.organization
    observer.VerificationDateTime = signature.signed_at.strftime(_DATE_TIME)
    observer.VerifyingObserverName = signature.person_name
    observer.VerifyingObserverIdentificationCodeSequence = []
    return observer


def _put_words(report: Dataset, templates: Templates) -> None:
    """Have the statement say that it is signed. Raises NotPossible."""
    unverified = templates.report.unverified
    for item in _texts(report):
        if item.TextValue.endswith(unverified):
            item.TextValue = item.TextValue.removesuffix(unverified) + templates.report.verified
            return
    raise NotPossible("another version made this report; correct the job, then sign it")


def _texts(item: Dataset) -> Iterator[Dataset]:
    """Text items at any depth."""
    for below in items_of(item, "ContentSequence"):
        if text_of(below, "ValueType") == "TEXT":
            yield below
        yield from _texts(below)


def _terms(report: Dataset) -> list[str]:
    stated = text_of(report, "SpecificCharacterSet")
    return stated.split("\\") if stated else []
