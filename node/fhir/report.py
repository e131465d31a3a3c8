"""A prediction as a FHIR transaction: a DiagnosticReport with its Observations.

Every resource is put under an identifier that follows from the ECG and the destination, so that a
resend, and a correction, finds what is there and replaces it. Nothing asks a clock: the server says
when it took it. The library's R4B models have, of all that is used here, the elements of R4.
Source: FHIR R4, http.html#cond-update, #transaction, diagnosticreport.html, observation.html.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from fhir.resources.R4B.annotation import Annotation
from fhir.resources.R4B.attachment import Attachment
from fhir.resources.R4B.bundle import Bundle, BundleEntry, BundleEntryRequest
from fhir.resources.R4B.codeableconcept import CodeableConcept
from fhir.resources.R4B.coding import Coding
from fhir.resources.R4B.diagnosticreport import DiagnosticReport, DiagnosticReportMedia
from fhir.resources.R4B.identifier import Identifier
from fhir.resources.R4B.meta import Meta
from fhir.resources.R4B.observation import (
    Observation,
    ObservationComponent,
    ObservationReferenceRange,
)
from fhir.resources.R4B.reference import Reference
from pydantic import ValidationError

from node.domain.code import Code, ConceptCode
from node.domain.concept import (
    HEART_RATE,
    LOWER_UNCERTAINTY,
    PER_MINUTE,
    PRIVATE_SCHEME,
    UPPER_UNCERTAINTY,
    concept_of,
)
from node.domain.errors import InvalidResult, UnsupportedInstance
from node.domain.identifiers import derived_uuid
from node.domain.order import Order
from node.domain.prediction import DiseaseProbability, Estimate, ModelIdentity, Prediction
from node.domain.reference_range import ReferenceRange, ReferenceRanges
from node.domain.study import Patient, Study, StudyReferences
from node.domain.wording import (
    CORRECTED,
    READ_FROM_ECG,
    SIMULATED,
    SYNTHETIC,
    distance_text,
    heart_rate_text,
    report_lines,
)
from node.fhir.site import Site
from node.fhir.terminology import (
    NOT_VERIFIED,
    PRIVATE_SYSTEM,
    URI,
    coding,
    concept,
    dicom_uid,
    logical,
    named,
    numbered,
    printable,
    quantity,
    token,
)
from node.fhir.withdrawal import left_behind

PRELIMINARY: Final = "preliminary"
"""Final is what a person has signed (node/fhir/sign_off.py)."""
CORRECTION: Final = "corrected"

_SERVICE: Final = Code(
    value="ECG2CMR", scheme=PRIVATE_SCHEME, meaning="AI estimate of cardiac MR from ECG"
)
"""As OBR-4 of a message whose order named no procedure."""
_CATEGORIES: Final = "http://terminology.hl7.org/CodeSystem/v2-0074"
_ELECTRODIAGNOSTICS: Final = Coding(
    system="http://terminology.hl7.org/CodeSystem/observation-category",
    code="procedure",
    display="Procedure",
)
"""Not "imaging": nothing was imaged."""
_BY_AI: Final = Coding(
    system="http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    code="AIAST",
    display="Artificial Intelligence asserted",
)
_OF_NO_PATIENT: Final = Coding(
    system="http://terminology.hl7.org/CodeSystem/v3-ActReason",
    code="HTEST",
    display="test health data",
)
"""Source: FHIR R4, security-labels.html."""
_IS_SYNTHETIC: Final = Code(
    value="SYNTHETIC", scheme=PRIVATE_SCHEME, meaning="Estimated from an ECG, not measured"
)
_IS_SIMULATED: Final = Code(
    value="SIMULATED-MODEL", scheme=PRIVATE_SCHEME, meaning="Trained on simulated data"
)
_SEXES: Final = {
    "F": Code(value="248152002", scheme="SCT", meaning="Female"),
    "M": Code(value="248153007", scheme="SCT", meaning="Male"),
}
_CINE: Final = "Synthetic cine, no acquired picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What all resources of one result have in common."""

    number: str
    status: str
    subject: Reference
    based_on: list[Reference] | None
    effective: datetime
    ecg: Reference
    """The study that the ECG is of."""
    model: ModelIdentity
    method: CodeableConcept
    notes: tuple[str, ...]
    """Of what the model estimates."""
    is_correction: bool
    is_tried: bool

    def meta(self, *, by_model: bool = True) -> Meta:
        labels = [*([_BY_AI] if by_model else []), *([_OF_NO_PATIENT] if self.is_tried else [])]
        tags = [NOT_VERIFIED]
        if by_model:
            tags += [_IS_SYNTHETIC, *([_IS_SIMULATED] if self.model.simulated else [])]
        return Meta(security=labels or None, tag=[coding(each) for each in tags])


def build_report(
    prediction: Prediction,
    study: Study,
    order: Order | None,
    site: Site,
    *,
    identifier: str,
    report_number: str,
    codes: Mapping[str, ConceptCode],
    derivation: Code,
    references: StudyReferences,
    ranges: ReferenceRanges,
    pdf: bytes | None = None,
    replaces: bytes | None = None,
) -> bytes:
    """The transaction as JSON: the same input gives the same bytes.

    identifier: a UUID for the transaction. report_number: another, which the report is known by for
    ever. derivation: how the numbers came about. pdf: the summary, which goes along where it is
    given. replaces: the transaction that was sent before under the same number; what it had and
    this one has not is marked as an error.
    Raises UnsupportedInstance (the ECG has no Patient ID), BundleError (a field without a code, or
    in another unit), InvalidResult (it would break the standard).
    """
    with _by_the_standard():
        head = _head(
            prediction, study, order, site, report_number, derivation, replaces is not None
        )
        observations = [
            *(
                _estimate(estimate, concept_of(codes, estimate), ranges, study, head)
                for estimate in prediction.estimates
            ),
            *(
                _disease(disease, concept_of(codes, disease), head)
                for disease in prediction.diseases
            ),
            _heart_rate(prediction, head),
        ]
        report = _report(prediction, study, order, site, head, references, ranges, pdf)
        report.result = [_reference(each) for each in observations]
        made: list[DiagnosticReport | Observation] = [report, *observations]
        entries = [_entry(each) for each in made]
        if replaces is not None:
            entries += left_behind(replaces, entries)
        bundle = Bundle(type="transaction", identifier=named(identifier), entry=entries)
        text: str = bundle.model_dump_json()
    return text.encode()


@contextmanager
def _by_the_standard() -> Iterator[None]:
    """What the library objects to, without the values that its own words quote.

    Raises InvalidResult.
    """
    try:
        yield
    except ValidationError as error:
        places = {".".join(map(str, each["loc"])): each["type"] for each in error.errors()}
        told = ", ".join(f"{place} ({kind})" for place, kind in places.items())
        raise InvalidResult(
            f"the FHIR report breaks the standard at {error.title}: {told}; nothing was sent"
        ) from None


def _head(
    prediction: Prediction,
    study: Study,
    order: Order | None,
    site: Site,
    report_number: str,
    derivation: Code,
    is_correction: bool,
) -> _Head:
    simulated = [SIMULATED] if prediction.model.simulated else []
    return _Head(
        number=report_number,
        status=CORRECTION if is_correction else PRELIMINARY,
        subject=_subject(study.patient, site),
        based_on=_based_on(study, order, site),
        effective=_moment(study.performed_at, site),
        ecg=logical("ImagingStudy", dicom_uid(study.study_instance_uid)),
        model=prediction.model,
        method=concept(derivation, text=derivation.meaning),
        notes=(SYNTHETIC, *([CORRECTED] if is_correction else []), *simulated),
        is_correction=is_correction,
        is_tried=site.is_tried,
    )


def _subject(patient: Patient, site: Site) -> Reference:
    """By the number, or as the one Patient there that has it, whom the server looks for.

    Source: FHIR R4, http.html#trules (conditional references).
    """
    patient_id = printable(patient.patient_id)
    if not patient_id:
        raise UnsupportedInstance(
            "the ECG has no Patient ID, which FHIR resources refer to; reconcile the patient and "
            "try again"
        )
    authority = (
        patient.issuer_of_patient_id,
        patient.issuer_universal_id,
        patient.issuer_universal_id_type,
    )
    identifier = numbered(patient_id, kind="MR", authority=authority, system=site.patient_system)
    subject = logical("Patient", identifier)
    if site.finds_patient:
        subject.reference = f"Patient?identifier={token(identifier)}"
    return subject


def _moment(performed_at: datetime, site: Site) -> datetime:
    at = performed_at
    if at.tzinfo is None:
        at = at.replace(tzinfo=site.time_zone)
    offset = at.utcoffset() or timedelta()
    # Local mean times of long ago have seconds, which an offset of FHIR has not.
    return at.astimezone(UTC) if offset % timedelta(minutes=1) else at


def _based_on(study: Study, order: Order | None, site: Site) -> list[Reference] | None:
    ordered = order or Order()
    number = ordered.placer_order_number or study.placer_order_number
    issuer = ordered.placer_issuer if number == ordered.placer_order_number else ()
    if not printable(number):
        return None
    placer = numbered(printable(number), kind="PLAC", authority=issuer, system=site.order_system)
    return [logical("ServiceRequest", placer)]


def _report(
    prediction: Prediction,
    study: Study,
    order: Order | None,
    site: Site,
    head: _Head,
    references: StudyReferences,
    ranges: ReferenceRanges,
    pdf: bytes | None,
) -> DiagnosticReport:
    """Without the results it names."""
    cine = logical("Media", dicom_uid(references.cine_uid)) if references.cine_uid else None
    return DiagnosticReport(
        meta=head.meta(),
        identifier=[named(head.number), *_identifiers(study, order, site, references)],
        basedOn=head.based_on,
        status=head.status,
        category=[CodeableConcept(coding=[Coding(system=_CATEGORIES, code=site.category)])],
        code=concept(_SERVICE, text=f"{_SERVICE.meaning} (SYNTHETIC)"),
        subject=head.subject,
        effectiveDateTime=head.effective,
        imagingStudy=[logical("ImagingStudy", dicom_uid(references.study_uid))],
        media=[DiagnosticReportMedia(comment=_CINE, link=cine)] if cine is not None else None,
        conclusion="\n".join(
            printable(line) for line in report_lines(prediction, ranges, head.is_correction)
        ),
        presentedForm=[_document(pdf)] if pdf is not None else None,
    )


def _identifiers(
    study: Study, order: Order | None, site: Site, references: StudyReferences
) -> Iterator[Identifier]:
    """What else it is known by: the numbers of its order, and the report that an archive has."""
    ordered = order or Order()
    filler = ordered.filler_order_number or study.filler_order_number
    issuer = ordered.filler_issuer if filler == ordered.filler_order_number else ()
    accession = ordered.accession_number or study.accession_number
    for number, kind, authority in ((filler, "FILL", issuer), (accession, "ACSN", ())):
        if value := printable(number):
            yield numbered(value, kind=kind, authority=authority, system=site.order_system)
    if references.report_uid:
        yield dicom_uid(references.report_uid)


def _document(pdf: bytes) -> Attachment:
    return Attachment(contentType="application/pdf", data=b64encode(pdf), title=SYNTHETIC)


def _estimate(
    estimate: Estimate,
    code: ConceptCode,
    ranges: ReferenceRanges,
    study: Study,
    head: _Head,
) -> Observation:
    number = estimate.text(estimate.value)
    observation = _by_model(estimate, number, code, head, text=estimate.name)
    observation.component = [
        ObservationComponent(
            code=concept(which),
            valueQuantity=quantity(distance_text(estimate, bound), code.unit),
        )
        for which, bound in (
            (LOWER_UNCERTAINTY, estimate.lower),
            (UPPER_UNCERTAINTY, estimate.upper),
        )
    ]
    span = ranges.by_field.get(estimate.field_id)
    if span is not None:
        observation.referenceRange = [_range(span, code.unit, ranges, study.patient.sex)]
    return observation


def _range(
    span: ReferenceRange, unit: Code, ranges: ReferenceRanges, sex: str
) -> ObservationReferenceRange:
    return ObservationReferenceRange(
        low=quantity(f"{span.lower:g}", unit),
        high=quantity(f"{span.upper:g}", unit),
        appliesTo=[concept(_SEXES[sex])] if sex in _SEXES else None,
        text=ranges.statement,
    )


def _disease(disease: DiseaseProbability, code: ConceptCode, head: _Head) -> Observation:
    """Its code is that of the disease, so the text says that it is a probability, not a finding."""
    return _by_model(disease, disease.text(), code, head, text=f"Probability of {disease.name}")


def _by_model(
    field: Estimate | DiseaseProbability,
    number: str,
    code: ConceptCode,
    head: _Head,
    *,
    text: str,
) -> Observation:
    """The standard code, then the bundle's own id, which alone tells segments apart."""
    own = Code(value=field.field_id, scheme=PRIVATE_SCHEME, meaning=field.name)
    model = head.model
    return Observation(
        meta=head.meta(),
        identifier=[named(derived_uuid("fhir-observation", head.number, field.field_id))],
        basedOn=head.based_on,
        status=head.status,
        category=[CodeableConcept(coding=[_ELECTRODIAGNOSTICS])],
        code=concept(code.code, *([] if code.code.scheme == PRIVATE_SCHEME else [own]), text=text),
        subject=head.subject,
        effectiveDateTime=head.effective,
        valueQuantity=quantity(number, code.unit),
        note=[Annotation(text=text) for text in head.notes],
        bodySite=concept(code.site) if code.site is not None else None,
        method=head.method,
        device=logical(
            "Device",
            Identifier(system=PRIVATE_SYSTEM, value=f"{model.bundle} {model.version}"),
            display=f"AI model {model.bundle} {model.version} ({model.digest[:12]}), {model.how}",
        ),
        derivedFrom=[head.ecg],
    )


def _heart_rate(prediction: Prediction, head: _Head) -> Observation:
    """Counted on the ECG, by no model."""
    correction = [CORRECTED] if head.is_correction else []
    return Observation(
        meta=head.meta(by_model=False),
        identifier=[named(derived_uuid("fhir-observation", head.number, HEART_RATE.value))],
        basedOn=head.based_on,
        status=head.status,
        category=[CodeableConcept(coding=[_ELECTRODIAGNOSTICS])],
        code=concept(HEART_RATE, text="Heart rate of the ECG"),
        subject=head.subject,
        effectiveDateTime=head.effective,
        valueQuantity=quantity(heart_rate_text(prediction), PER_MINUTE),
        note=[Annotation(text=text) for text in (READ_FROM_ECG, *correction)],
        derivedFrom=[head.ecg],
    )


def _entry(resource: DiagnosticReport | Observation) -> BundleEntry:
    """Put where its identifier is, or made where it is nowhere."""
    name = _name(resource)
    kind = resource.get_resource_type()
    return BundleEntry(
        fullUrl=name,
        resource=resource,
        request=BundleEntryRequest(method="PUT", url=f"{kind}?identifier={URI}|{name}"),
    )


def _reference(observation: Observation) -> Reference:
    """Within the transaction; the server puts its own address there."""
    return Reference(reference=_name(observation))


def _name(resource: DiagnosticReport | Observation) -> str:
    identifiers: list[Identifier] = resource.identifier or []
    return str(identifiers[0].value)
