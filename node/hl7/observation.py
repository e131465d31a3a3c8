"""The OBX segments of a result: every number, what it refers to, and the readable report.

Observations that belong together share the part of OBX-4 before the point: an estimate is 1.1, how
far its interval reaches below and above it 1.2 and 1.3, its finding site 1.4.
Source: HL7 v2.5.1 §7.4.2; DICOM CID 225 (measurement uncertainty); IHE RAD-128 (study reference).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from node.domain.code import Code, ConceptCode
from node.domain.concept import (
    HEART_RATE,
    LOWER_UNCERTAINTY,
    PER_MINUTE,
    PRIVATE_SCHEME,
    UPPER_UNCERTAINTY,
    concept_of,
)
from node.domain.prediction import DiseaseProbability, Estimate, Prediction
from node.domain.reference_range import ReferenceRange, ReferenceRanges, Standing
from node.domain.study import StudyReferences
from node.domain.wording import distance_text, heart_rate_text, report_lines
from node.hl7.message import escape
from node.hl7.profile import Profile

_FINDING_SITE = Code(value="363698007", scheme="SCT", meaning="Finding Site")
_STUDY = Code(value="113014", scheme="DCM", meaning="DICOM Study")
# DICOM codes no "SOP Instance UID of the report that says the same".
_REPORT = Code(value="REPORT-UID", scheme=PRIVATE_SCHEME, meaning="SR SOP Instance UID")
_CINE = Code(value="CINE-UID", scheme=PRIVATE_SCHEME, meaning="Synthetic cine SOP Instance UID")
_LINK = Code(value="STUDY-LINK", scheme=PRIVATE_SCHEME, meaning="Link to the DICOM study")
_PDF = Code(value="SUMMARY-PDF", scheme=PRIVATE_SCHEME, meaning="Summary as PDF")
_FINDINGS = Code(value="121070", scheme="DCM", meaning="Findings")

_ABNORMAL_FLAGS = {Standing.BELOW: "L", Standing.WITHIN: "N", Standing.ABOVE: "H"}
"""Table 0078."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One OBX; each field as it stands in the message, escaped."""

    value_type: str
    """OBX-2: NM, CE, ST, RP, TX or ED."""
    identifier: str
    """OBX-3."""
    sub_id: str = ""
    value: str
    unit: str = ""
    reference: str = ""
    """OBX-7."""
    abnormal_flag: str = ""
    """OBX-8."""
    status: str = ""
    """OBX-11; empty is the status of the whole result."""
    by_model: bool = False
    """Whether OBX-17 and OBX-18 name the model."""


def components(*values: str) -> str:
    """One field of these components, each escaped, empty ones at the end left out.

    A control character, which ST and its kin do not allow, becomes a space; spaces alone are empty.
    """
    printable = (_CONTROL.sub(" ", value) for value in values)
    return "^".join("" if value.isspace() else escape(value) for value in printable).rstrip("^")


def observations(
    prediction: Prediction,
    codes: Mapping[str, ConceptCode],
    references: StudyReferences,
    ranges: ReferenceRanges,
    profile: Profile,
    *,
    pdf: bytes | None = None,
    is_correction: bool = False,
) -> list[Observation]:
    """All observations that the profile wants, in the order of their OBX-1.

    pdf: the summary, where it goes along.
    Raises BundleError (a field without a code, or in another unit than its code's).
    """
    groups = [
        *(
            _of_estimate(
                estimate,
                concept_of(codes, estimate),
                ranges.by_field.get(estimate.field_id),
                with_flag=profile.abnormal_flags,
            )
            for estimate in prediction.estimates
        ),
        *(_of_disease(disease, concept_of(codes, disease)) for disease in prediction.diseases),
        [_number(_ce(HEART_RATE), heart_rate_text(prediction), PER_MINUTE)],
        *([reference] for reference in _of_study(references)),
    ]
    if profile.text_report:
        groups.append([_line(line) for line in report_lines(prediction, ranges, is_correction)])
    if pdf is not None:
        groups.append([_document(pdf, profile.pdf_layout)])
    return [
        replace(observation, sub_id=f"{group}.{member}")
        for group, members in enumerate(groups, start=1)
        for member, observation in enumerate(members, start=1)
    ]


def _of_estimate(
    estimate: Estimate, concept: ConceptCode, reference: ReferenceRange | None, *, with_flag: bool
) -> list[Observation]:
    identifier, unit = _identifier(concept, estimate), concept.unit
    value = _number(identifier, estimate.text(estimate.value), unit, by_model=True)
    if reference is not None:
        flag = _ABNORMAL_FLAGS[reference.standing(float(value.value))] if with_flag else ""
        span = f"{reference.lower:g}-{reference.upper:g}"
        value = replace(value, reference=span, abnormal_flag=flag)
    return [
        value,
        _number(_ce(LOWER_UNCERTAINTY), distance_text(estimate, estimate.lower), unit),
        _number(_ce(UPPER_UNCERTAINTY), distance_text(estimate, estimate.upper), unit),
        *_site(concept),
    ]


def _of_disease(disease: DiseaseProbability, concept: ConceptCode) -> list[Observation]:
    identifier = _identifier(concept, disease)
    return [
        _number(identifier, disease.text(), concept.unit, by_model=True),
        *_site(concept),
    ]


def _of_study(references: StudyReferences) -> Iterator[Observation]:
    """UIDs and the link, with status O: they describe the order, they were not observed."""
    for code, uid in (
        (_STUDY, references.study_uid),
        (_REPORT, references.report_uid),
        (_CINE, references.cine_uid),
    ):
        if uid:
            yield Observation(
                value_type="ST",
                identifier=_ce(code),
                value=components(uid),
                status="O",
            )
    if references.link:
        yield Observation(
            value_type="RP", identifier=_ce(_LINK), value=components(references.link), status="O"
        )


def _identifier(concept: ConceptCode, field: Estimate | DiseaseProbability) -> str:
    """OBX-3: the standard code, then the bundle's own id, which alone tells segments apart."""
    code = concept.code
    if code.scheme == PRIVATE_SCHEME:
        return _ce(code)
    return components(
        code.value, code.meaning, code.scheme, field.field_id, field.name, PRIVATE_SCHEME
    )


def _site(concept: ConceptCode) -> list[Observation]:
    if concept.site is None:
        return []
    return [Observation(value_type="CE", identifier=_ce(_FINDING_SITE), value=_ce(concept.site))]


def _number(identifier: str, value: str, unit: Code, *, by_model: bool = False) -> Observation:
    return Observation(
        value_type="NM",
        identifier=identifier,
        value=value,
        unit=_ce(unit),
        by_model=by_model,
    )


def _line(text: str) -> Observation:
    return Observation(value_type="TX", identifier=_ce(_FINDINGS), value=components(text))


def _document(pdf: bytes, layout: str) -> Observation:
    """layout: ED.1 to ED.4. Source: HL7 v2.5.1 §2.A.24."""
    return Observation(
        value_type="ED", identifier=_ce(_PDF), value=f"{layout}^{b64encode(pdf).decode('ascii')}"
    )


def _ce(code: Code) -> str:
    """CE: identifier, text, coding system (HL7 table 0396 spells LN, SCT, DCM, UCUM as DICOM)."""
    return components(code.value, code.meaning, code.scheme)
