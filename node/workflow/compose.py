"""Finished objects out of an answer. Nothing here asks a clock or draws a number."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from node.dicom import dimse
from node.dicom.cine import build_cine, build_frames
from node.dicom.filing import Filing
from node.dicom.reference import FiledInstance
from node.dicom.rejection_note import build_rejection_note
from node.dicom.structured_report import REPORT_CLASSES, build_no_result_report, build_report
from node.dicom.summary import PDF_STRIP_SIZE, build_pdf, build_summary, encode_pdf
from node.dicom.summary_page import STRIP_SIZE
from node.dicom.template import Templates
from node.dicom.validation import check_results
from node.domain.delivery import ResultKind, ResultObject
from node.domain.ecg import ECGRecord, Finding
from node.domain.form import CineForm, ReportForm, ResultForm
from node.domain.identifiers import derived_control_id, derived_uid, derived_uuid
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.study import StudyReferences
from node.ecg.drawing import draw_rhythm_strip
from node.fhir.library import need_library
from node.fhir.site import Site
from node.hl7.oru import build_oru
from node.hl7.profile import Profile
from node.workflow.naming import Naming, Source


def compose_objects(
    prediction: Prediction,
    record: ECGRecord,
    source: Source,
    templates: Templates,
    form: ResultForm,
    kinds: Collection[ResultKind],
) -> tuple[ResultObject, ...]:
    """The DICOM results of a prediction that are wanted; a cine where the bundle offers one.

    The report refers to the cine of the form, which is made and judged with it.
    Raises InvalidResult: nothing that breaks the standard leaves.
    """
    naming = Naming(source, prediction.model, templates, form)
    made: list[ResultObject] = []
    if ResultKind.CINE in kinds or ResultKind.REPORT in kinds:
        made += _cine(prediction, source, templates, form, naming)
    made += _pages(prediction, record, source, templates, naming, kinds)
    if ResultKind.REPORT in kinds:
        made += _report(prediction, source, templates, form, naming)
    check_results(made, source.dataset, source.study, naming.filing)
    return tuple(made)


def compose_no_result(
    findings: Sequence[Finding],
    source: Source,
    model: ModelIdentity,
    templates: Templates,
    form: ResultForm,
) -> tuple[ResultObject, ...]:
    """The report that says why there is no result; none where no report is wanted."""
    if form.report is ReportForm.NONE:
        return ()
    naming = Naming(source, model, templates, form)
    uid, series_uid = naming.no_result_uids()
    content = build_no_result_report(
        findings,
        source.dataset,
        model,
        sop_instance_uid=uid,
        series_instance_uid=series_uid,
        templates=templates,
        form=form.report,
        filing=naming.filing,
        order=source.order,
        predecessor=source.predecessor,
    )
    objects = (_object(ResultKind.REPORT, REPORT_CLASSES[form.report], uid, content),)
    check_results(objects, source.dataset, source.study, naming.filing)
    return objects


def compose_rejection(
    rejected: Sequence[FiledInstance], source: Source, templates: Templates, filing: Filing
) -> ResultObject:
    """The note that instances of one study, made of that ECG, must not be used any more.

    filing: where they are filed, and the note with them. Raises InvalidResult.
    """
    names = (
        "withdrawal",
        source.digest,
        templates.version,
        *filing.character_set,
        *(each.sop_instance_uid for each in rejected),
    )
    uid = derived_uid("instance", *names)
    content = build_rejection_note(
        rejected,
        source.dataset,
        sop_instance_uid=uid,
        series_instance_uid=derived_uid("series", *names),
        templates=templates,
        filing=filing,
    )
    note = _object(ResultKind.REJECTION, dimse.KEY_OBJECT_SELECTION, uid, content)
    check_results([note], source.dataset, source.study, filing, sent_before=rejected)
    return note


def compose_message(
    prediction: Prediction,
    record: ECGRecord,
    source: Source,
    form: ResultForm,
    *,
    destination: str,
    profile: Profile,
    templates: Templates,
    is_correction: bool = False,
) -> ResultObject:
    """The ORU^R01 for one HL7 destination, with the numbers and codes of the report.

    A PDF in it is the one that an archive is sent.
    is_correction: the destination was sent an earlier one of this ECG.
    form: of the DICOM results it refers to; of a series of single frames it names the first.
    """
    naming = Naming(source, prediction.model, templates, form)
    references = _references(prediction, source, form, naming)
    report_uid, _ = naming.report_uids(prediction.cine)
    # The report's UID stands for all that both tell, also where no report is sent.
    control_id = derived_control_id(report_uid, destination, str(source.revision))
    pdf = None
    if profile.pdf == "ed":
        pdf = _document(prediction, record, source, templates, naming)
    content = build_oru(
        prediction,
        source.study,
        source.order,
        profile,
        control_id=control_id,
        filler_number=derived_control_id(source.digest, destination),
        is_correction=is_correction,
        codes=templates.codes(_field_ids(prediction)),
        references=references,
        pdf=pdf,
        ranges=templates.summary.ranges(source.study.patient.sex),
    )
    return ResultObject(kind=ResultKind.ORU, identifier=control_id, content=content)


def compose_transaction(
    prediction: Prediction,
    record: ECGRecord,
    source: Source,
    form: ResultForm,
    *,
    destination: str,
    site: Site,
    templates: Templates,
    replaces: bytes | None = None,
) -> ResultObject:
    """The FHIR transaction for one destination, with the numbers and codes of the report.

    replaces: the one that the destination was sent before of this ECG.
    form: as of a message. Raises ConfigurationError (the FHIR library is not installed).
    """
    need_library()
    from node.fhir.report import build_report

    naming = Naming(source, prediction.model, templates, form)
    references = _references(prediction, source, form, naming)
    report_uid, _ = naming.report_uids(prediction.cine)
    identifier = derived_uuid("fhir-transaction", report_uid, destination, str(source.revision))
    content = build_report(
        prediction,
        source.study,
        source.order,
        site,
        identifier=identifier,
        report_number=derived_uuid("fhir-report", source.digest, destination),
        codes=templates.codes(_field_ids(prediction)),
        derivation=templates.report.derivation,
        references=references,
        ranges=templates.summary.ranges(source.study.patient.sex),
        pdf=_document(prediction, record, source, templates, naming) if site.pdf else None,
        replaces=replaces,
    )
    return ResultObject(kind=ResultKind.FHIR, identifier=identifier, content=content)


def _references(
    prediction: Prediction, source: Source, form: ResultForm, naming: Naming
) -> StudyReferences:
    """What a message refers to; of a series of single frames the first."""
    cine = naming.cine(prediction.cine)
    report_uid, _ = naming.report_uids(prediction.cine)
    return StudyReferences(
        study_uid=naming.filing.study_uid(source.study),
        report_uid=None if form.report is ReportForm.NONE else report_uid,
        cine_uid=None if cine is None else cine.sop_instance_uids[0],
    )


def _field_ids(prediction: Prediction) -> list[str]:
    return [
        *(estimate.field_id for estimate in prediction.estimates),
        *(disease.field_id for disease in prediction.diseases),
    ]


def _document(
    prediction: Prediction,
    record: ECGRecord,
    source: Source,
    templates: Templates,
    naming: Naming,
) -> bytes:
    """The PDF that an archive is sent."""
    return encode_pdf(
        prediction,
        source.dataset,
        draw_rhythm_strip(record, size=PDF_STRIP_SIZE),
        templates=templates,
        filing=naming.filing,
    )


def _cine(
    prediction: Prediction,
    source: Source,
    templates: Templates,
    form: ResultForm,
    naming: Naming,
) -> tuple[ResultObject, ...]:
    """One object, or one a frame."""
    named = naming.cine(prediction.cine)
    if named is None:
        return ()
    if form.cine is CineForm.SINGLE_FRAMES:
        files = build_frames(
            prediction,
            source.dataset,
            sop_instance_uids=named.sop_instance_uids,
            series_instance_uid=named.series_instance_uid,
            templates=templates,
            filing=naming.filing,
        )
    else:
        cine = build_cine(
            prediction,
            source.dataset,
            sop_instance_uid=named.sop_instance_uids[0],
            series_instance_uid=named.series_instance_uid,
            templates=templates,
            form=form.cine,
            filing=naming.filing,
        )
        files = (cine,)
    return tuple(
        _object(ResultKind.CINE, named.sop_class_uid, uid, file)
        for uid, file in zip(named.sop_instance_uids, files, strict=True)
    )


def _pages(
    prediction: Prediction,
    record: ECGRecord,
    source: Source,
    templates: Templates,
    naming: Naming,
    kinds: Collection[ResultKind],
) -> Iterator[ResultObject]:
    """The summary as picture and as document."""
    for kind, build, size, sop_class_uid in (
        (ResultKind.SUMMARY, build_summary, STRIP_SIZE, dimse.SECONDARY_CAPTURE),
        (ResultKind.PDF, build_pdf, PDF_STRIP_SIZE, dimse.ENCAPSULATED_PDF),
    ):
        if kind not in kinds:
            continue
        uid, series_uid = naming.uids(kind.value)
        content = build(
            prediction,
            source.dataset,
            draw_rhythm_strip(record, size=size),
            sop_instance_uid=uid,
            series_instance_uid=series_uid,
            templates=templates,
            filing=naming.filing,
        )
        yield _object(kind, sop_class_uid, uid, content)


def _report(
    prediction: Prediction,
    source: Source,
    templates: Templates,
    form: ResultForm,
    naming: Naming,
) -> tuple[ResultObject, ...]:
    """The report, which refers to the cine; none where none is wanted."""
    if form.report is ReportForm.NONE:
        return ()
    uid, series_uid = naming.report_uids(prediction.cine)
    content = build_report(
        prediction,
        source.dataset,
        sop_instance_uid=uid,
        series_instance_uid=series_uid,
        cine_reference=naming.cine(prediction.cine),
        templates=templates,
        form=form.report,
        filing=naming.filing,
        order=source.order,
        predecessor=source.predecessor,
    )
    return (_object(ResultKind.REPORT, REPORT_CLASSES[form.report], uid, content),)


def _object(kind: ResultKind, sop_class_uid: str, uid: str, content: bytes) -> ResultObject:
    return ResultObject(kind=kind, identifier=uid, sop_class_uid=sop_class_uid, content=content)
