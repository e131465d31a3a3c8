"""Our structured report: estimates with their intervals, or the reasons why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContentItem,
    DeviceObserverIdentifyingAttributes,
    LanguageOfContentItemAndDescendants,
    ObserverContext,
    RelationshipTypeValues,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from node.dicom import dimse
from node.dicom.attribute import items_of, text_of
from node.dicom.character_set import can_write
from node.dicom.composite import derived_object, encode
from node.dicom.filing import BESIDE_ECG, Filing
from node.dicom.reference import (
    FiledInstance,
    document_reference,
    put_uid,
    series_reference,
    study_reference,
)
from node.dicom.report_content import ReportContent, concept_of, container
from node.dicom.study import read_study
from node.dicom.template import CodingScheme, Templates
from node.domain.ecg import Finding
from node.domain.form import ReportForm
from node.domain.identifiers import derived_uid
from node.domain.order import Order
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.study import Study

REPORT_CLASSES: Final[Mapping[ReportForm, str]] = {
    ReportForm.COMPREHENSIVE_3D: dimse.COMPREHENSIVE_3D_SR,
    ReportForm.ENHANCED: dimse.ENHANCED_SR,
    ReportForm.COMPREHENSIVE: dimse.COMPREHENSIVE_SR,
}
"""Without NONE: then there is none. IHE RAD AIR asks for Comprehensive 3D."""
LANGUAGE: Final = CodedConcept("en-US", "RFC5646", "English (United States)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CineReference:
    """The cine that goes with a report; it is filed in the same study."""

    sop_class_uid: str
    sop_instance_uids: tuple[str, ...]
    """One; of a series of single frames all, in their order."""
    series_instance_uid: str


def build_report(
    prediction: Prediction,
    source: Dataset,
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    cine_reference: CineReference | None,
    templates: Templates,
    form: ReportForm = ReportForm.COMPREHENSIVE_3D,
    filing: Filing = BESIDE_ECG,
    order: Order | None = None,
    predecessor: FiledInstance | None = None,
) -> bytes:
    """The estimates as a PS3.10 file: TID 1500; what is not offered is absent.

    Numbers stand as text exactly as every other result shows them.
    Raises BundleError (a field without code, or in another unit), PredictionError (a number that
    DS cannot hold, a value outside its interval) and MalformedInstance like `read_study`.
    Source: DICOM PS3.3 A.35.2, A.35.3, A.35.13, PS3.16 TID 1500, 1501, 300, 310.
    """
    content = ReportContent(
        study=read_study(source), uid=sop_instance_uid, model=prediction.model, templates=templates
    )
    groups = [
        *content.estimate_groups(prediction.estimates),
        content.heart_rate_group(prediction.heart_rate_bpm),
        *(content.disease_group(disease) for disease in prediction.diseases),
    ]
    measurements = container(codes.DCM.ImagingMeasurements, groups)
    items = [measurements, content.statements(prediction)]
    if cine_reference is not None:
        library = content.image_library(
            cine_reference.sop_class_uid, cine_reference.sop_instance_uids
        )
        items.insert(0, library)
    return _encoded(
        content,
        items,
        source,
        form=form,
        series_instance_uid=series_instance_uid,
        cine=cine_reference,
        filing=filing,
        order=order,
        predecessor=predecessor,
    )


def build_no_result_report(
    findings: Sequence[Finding],
    source: Dataset,
    model: ModelIdentity,
    *,
    sop_instance_uid: str,
    series_instance_uid: str,
    templates: Templates,
    form: ReportForm = ReportForm.COMPREHENSIVE_3D,
    filing: Filing = BESIDE_ECG,
    order: Order | None = None,
    predecessor: FiledInstance | None = None,
) -> bytes:
    """A report of the same title and series that gives no number and says why, as a PS3.10 file.

    Raises MalformedInstance like `read_study`.
    Source: DICOM PS3.16 TID 1500: row 12 stands alone where there are no measurements.
    """
    content = ReportContent(
        study=read_study(source), uid=sop_instance_uid, model=model, templates=templates
    )
    items = [content.refusals(findings)]
    return _encoded(
        content,
        items,
        source,
        form=form,
        series_instance_uid=series_instance_uid,
        cine=None,
        filing=filing,
        order=order,
        predecessor=predecessor,
    )


def _encoded(
    content: ReportContent,
    items: Sequence[ContentItem],
    source: Dataset,
    *,
    form: ReportForm,
    series_instance_uid: str,
    cine: CineReference | None,
    filing: Filing,
    order: Order | None,
    predecessor: FiledInstance | None,
) -> bytes:
    """The document around the content items: head, flags, evidence, request, root of TID 1500.

    predecessor: the report that it replaces.
    """
    templates, study = content.templates, content.study
    report = derived_object(
        source,
        sop_class_uid=REPORT_CLASSES[form],
        sop_instance_uid=content.uid,
        series_instance_uid=series_instance_uid,
        modality="SR",
        series_description=templates.report.series_description,
        series_number=templates.report.series_number,
        instance_number=templates.report.instance_number,
        model=content.model,
        templates=templates,
        filing=filing,
    )
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"
    report.PreliminaryFlag = "PRELIMINARY"
    report.PerformedProcedureCodeSequence = []
    report.ReferencedPerformedProcedureStepSequence = []
    report.CurrentRequestedProcedureEvidenceSequence = _evidence(study, cine, filing)
    report.CodingSchemeIdentificationSequence = [_coding_scheme(templates.scheme)]
    if order is not None:
        report.ReferencedRequestSequence = [_request(study, order, source, filing)]
    if predecessor is not None:
        report.PredecessorDocumentsSequence = [document_reference(predecessor)]
    root = container(
        concept_of(templates.report.title),
        [*_context(content.model, templates), *items],
        relationship=None,
        template_id="1500",
    )
    report.update(root)
    return encode(report)


def _context(model: ModelIdentity, templates: Templates) -> list[ContentItem]:
    """Language, observer and procedure (TID 1500 rows 2 to 4): the model observed an ECG."""
    equipment = templates.equipment
    observer = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device-observer", equipment.model_name, model.digest),
        name=model.bundle,
        manufacturer_name=equipment.manufacturer,
        model_name=equipment.model_name,
        serial_number=model.digest,
    )
    procedure = CodeContentItem(
        name=codes.DCM.ProcedureReported,
        value=concept_of(templates.report.procedure_reported),
        relationship_type=RelationshipTypeValues.HAS_CONCEPT_MOD,
    )
    return [
        *LanguageOfContentItemAndDescendants(LANGUAGE),
        *ObserverContext(codes.DCM.Device, observer),
        procedure,
    ]


def _evidence(study: Study, cine: CineReference | None, filing: Filing) -> list[Dataset]:
    """Every instance the content refers to, by study and series. Source: PS3.3 Table C.17-3."""
    ecg = series_reference(study.series_instance_uid, study.sop_class_uid, [study.sop_instance_uid])
    series = {study.study_instance_uid: [ecg]}
    if cine is not None:
        series.setdefault(filing.study_uid(study), []).append(
            series_reference(cine.series_instance_uid, cine.sop_class_uid, cine.sop_instance_uids)
        )
    return [study_reference(uid, found) for uid, found in series.items()]


def _request(study: Study, order: Order, source: Dataset, filing: Filing) -> Dataset:
    """The request that the ECG answers. Source: DICOM PS3.3 Table C.17-2.

    Words of the RIS that the report's character set does not have are left out: its identifiers say
    the same.
    """
    stated = next(iter(items_of(source, "RequestAttributesSequence")), Dataset())
    words = order.procedure_text if can_write(order.procedure_text, filing.character_set) else ""
    if not words and text_of(stated, "RequestedProcedureID") == order.requested_procedure_id:
        words = text_of(stated, "RequestedProcedureDescription")
    request = Dataset()
    put_uid(request, "StudyInstanceUID", study.study_instance_uid)
    request.ReferencedStudySequence = []
    request.AccessionNumber = order.accession_number
    request.PlacerOrderNumberImagingServiceRequest = order.placer_order_number
    request.FillerOrderNumberImagingServiceRequest = order.filler_order_number
    request.RequestedProcedureID = order.requested_procedure_id
    request.RequestedProcedureDescription = words
    request.RequestedProcedureCodeSequence = []
    if order.procedure is not None and can_write(order.procedure.meaning, filing.character_set):
        request.RequestedProcedureCodeSequence = [concept_of(order.procedure)]
    return request


def _coding_scheme(scheme: CodingScheme) -> Dataset:
    """Where our private codes come from. Source: DICOM PS3.3 C.12.1.1.7."""
    item = Dataset()
    item.CodingSchemeDesignator = scheme.designator
    item.CodingSchemeName = scheme.name
    item.CodingSchemeResponsibleOrganization = scheme.organization
    return item
