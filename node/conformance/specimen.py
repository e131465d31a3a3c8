"""Results made for looking at: between them they show all that results can hold and leave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import numpy as np
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset

from node.dicom import dimse
from node.dicom.cine import CINE_CLASSES
from node.dicom.composite import OPTIONAL, REQUIRED
from node.dicom.filing import BESIDE_ECG
from node.dicom.part10 import source_digest
from node.dicom.reference import FiledInstance
from node.dicom.sign_off import sign_report
from node.dicom.structured_report import REPORT_CLASSES
from node.dicom.study import read_study
from node.dicom.template import HEART_RATE, Templates
from node.domain.code import Code
from node.domain.delivery import MESSAGES, ROUTED_RESULTS, ResultKind, ResultObject
from node.domain.ecg import STANDARD_LEADS, ECGRecord, Finding, Severity
from node.domain.form import DEFAULT_FORM, CharacterSet, ResultForm, StudyForm
from node.domain.identifiers import derived_control_id
from node.domain.prediction import (
    Cine,
    DiseaseProbability,
    Estimate,
    ModelIdentity,
    Prediction,
)
from node.domain.user import Signature
from node.hl7.profile import Profile
from node.hl7.sign_off import sign_oru
from node.hl7.withdrawal import withdraw_oru
from node.workflow.compose import (
    compose_message,
    compose_no_result,
    compose_objects,
    compose_rejection,
)
from node.workflow.naming import FIRST_REVISION, Source
from node.workflow.reconcile import stated_order

_VALUES: Final = {
    "AS": "060Y",
    "CS": "NO",
    "DA": "20240229",
    "DS": "1.7",
    "PN": "Specimen^Sam",
    "SH": "S-1",
    "TM": "120000",
}
"""By VR; any other gets a text."""
_FREQUENCY_HZ: Final = 500
_SECONDS: Final = 10
_SITES_SHOWN: Final = 3
_REPLACED: Final = FiledInstance(
    study_instance_uid="2.25.2",
    series_instance_uid="2.25.4",
    sop_class_uid=dimse.COMPREHENSIVE_3D_SR,
    sop_instance_uid="2.25.5",
)

_SIGNATURE: Final = Signature(
    user_name="specimen",
    person_name="Specimen^Sam",
    organization="Specimen",
    signed_at=datetime(2024, 2, 29, 13, tzinfo=UTC),
)


def specimens(templates: Templates) -> Iterator[ResultObject]:
    """Every kind of result in every class, of ECGs that say much and of one that says little."""
    findings = [Finding(code="specimen", severity=Severity.REFUSE, message="A reason.")]
    every = ROUTED_RESULTS
    requested = _bare_ecg()
    requested.AccessionNumber = "A-1"
    ecgs = ((_full_ecg(), every), (requested, {ResultKind.REPORT}), (_bare_ecg(), every))
    for dataset, wanted in ecgs:
        source = specimen_source(dataset)
        for form, prediction, kinds in _cases(templates):
            made = compose_objects(
                prediction, specimen_record(), source, templates, form, kinds & wanted
            )
            yield from made
            if not prediction.model.simulated:
                yield from (
                    _signed(each, templates) for each in made if each.kind is ResultKind.REPORT
                )
            yield from compose_no_result(findings, source, prediction.model, templates, form)
        yield _note(source, templates)


def message_specimens(templates: Templates, profile: Profile) -> dict[str, bytes]:
    """A result as a site's profile has it written, signed, corrected, and withdrawn."""
    source = replace(
        specimen_source(_full_ecg()), revision=FIRST_REVISION, predecessor=None, replaces_sent=False
    )
    compose = partial(
        compose_message,
        _message_prediction(templates),
        specimen_record(),
        form=DEFAULT_FORM,
        destination="specimen",
        profile=profile,
        templates=templates,
    )
    result = compose(source)
    again = replace(source, revision=FIRST_REVISION + 1, replaces_sent=True)
    correction = compose(again, is_correction=True)
    withdrawal = withdraw_oru(
        correction.content, control_id=derived_control_id(correction.identifier)
    )
    signed = sign_oru(
        result.content,
        control_id=derived_control_id(result.identifier),
        signature=_SIGNATURE,
        reports={},
    )
    return {
        "Result": result.content,
        "Signed": signed,
        "Correction": correction.content,
        "Withdrawal": withdrawal,
    }


def _message_prediction(templates: Templates) -> Prediction:
    """Enough to see how each is written, and no more to read than need be."""
    whole = specimen_prediction(templates)
    return replace(whole, estimates=whole.estimates[:2], diseases=whole.diseases[:1])


def _note(source: Source, templates: Templates) -> ResultObject:
    """What rejects a report and a picture."""
    study_uid = source.study.study_instance_uid
    report = replace(_REPLACED, study_instance_uid=study_uid)
    picture = replace(
        report, sop_class_uid=dimse.MULTI_FRAME_GRAYSCALE_BYTE_SC, sop_instance_uid="2.25.6"
    )
    return compose_rejection([report, picture], source, templates, BESIDE_ECG)


def _signed(report: ResultObject, templates: Templates) -> ResultObject:
    sop_instance_uid = "2.25.7"
    content = sign_report(
        report.content,
        _SIGNATURE,
        predecessor=replace(_REPLACED, sop_instance_uid=report.identifier),
        sop_instance_uid=sop_instance_uid,
        series_instance_uid="2.25.8",
        templates=templates,
    )
    return replace(report, identifier=sop_instance_uid, content=content)


def _cases(
    templates: Templates,
) -> Iterator[tuple[ResultForm, Prediction, frozenset[ResultKind]]]:
    """Each class of cine and of report, with all that a bundle may offer and with little."""
    whole = specimen_prediction(templates)
    bare = replace(
        whole,
        model=replace(whole.model, simulated=False, preset="", intended_use="", training_data=""),
        estimates=(),
        diseases=(),
        findings=(),
    )
    kinds = ROUTED_RESULTS - MESSAGES - {ResultKind.ECG}
    for cine, report in zip(CINE_CLASSES, REPORT_CLASSES, strict=True):
        beside = ResultForm(cine=cine, report=report)
        apart = replace(beside, study=StudyForm.NEW, character_set=CharacterSet.SOURCE)
        yield beside, whole, kinds
        yield apart, bare, kinds
        kinds -= {ResultKind.SUMMARY, ResultKind.PDF}  # they have one form alone
        yield beside, replace(whole, cine=None), kinds


def _bare_ecg() -> Dataset:
    """What results have to know of an ECG; nothing else of it."""
    dataset = Dataset()
    dataset.SOPClassUID = dimse.TWELVE_LEAD_ECG
    dataset.SOPInstanceUID = "2.25.1"
    dataset.AcquisitionDateTime = "20240229120000"
    return dataset


def _full_ecg() -> Dataset:
    """All that results copy of an ECG."""
    dataset = _bare_ecg()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.2", "2.25.3"
    for keyword in (*REQUIRED, *OPTIONAL):
        _state(dataset, keyword)
    dataset.TimezoneOffsetFromUTC = "+0000"
    request = Dataset()
    request.RequestedProcedureID = "R-1"
    request.RequestedProcedureDescription = "Resting ECG"
    request.PlacerOrderNumberImagingServiceRequest = "P-1"
    request.FillerOrderNumberImagingServiceRequest = "F-1"
    dataset.RequestAttributesSequence = [request]
    return dataset


def _state(dataset: Dataset, keyword: str) -> None:
    """Give an attribute some value."""
    vr = dictionary_VR(tag_for_keyword(keyword) or 0)
    if vr != "SQ":
        setattr(dataset, keyword, _VALUES.get(vr, "specimen"))
        return
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99SPECIMEN", "Specimen"
    setattr(dataset, keyword, [item])


def specimen_source(dataset: Dataset) -> Source:
    """Of the ECG that says much the results are a correction."""
    study = read_study(dataset)
    order = stated_order(study)
    if order is not None and order.requested_procedure_id:  # what a worklist would add
        order = replace(order, procedure=Code(value="1", scheme="99SPECIMEN", meaning="Specimen"))
    source = Source(dataset=dataset, digest=source_digest(dataset), study=study, order=order)
    if "SeriesInstanceUID" not in dataset:
        return source
    return replace(source, revision=FIRST_REVISION + 1, predecessor=_REPLACED)


def specimen_record() -> ECGRecord:
    shape = (_SECONDS * _FREQUENCY_HZ, len(STANDARD_LEADS))
    return ECGRecord(
        samples=np.zeros(shape, np.float32),
        leads=STANDARD_LEADS,
        sampling_frequency_hz=_FREQUENCY_HZ,
    )


def specimen_prediction(templates: Templates) -> Prediction:
    """Of all that a bundle can offer, enough to tell what varies."""
    return Prediction(
        model=ModelIdentity(
            bundle="specimen",
            version="1",
            digest="0" * 64,
            runtime="specimen",
            precision="fp32",
            preset="mean",
            intended_use="Looking at.",
            training_data="None.",
            simulated=True,
            interval_coverage=0.9,
        ),
        estimates=tuple(_estimates(templates)),
        diseases=tuple(
            DiseaseProbability(field_id=field_id, name=field_id, probability=0.5)
            for field_id, concept in templates.concepts.items()
            if concept.site is None
        )[:2],
        cine=Cine(frames=np.zeros((2, 384, 384), np.uint8), frame_time_ms=40.0, view="specimen"),
        heart_rate_bpm=60.0,
        findings=(Finding(code="specimen", severity=Severity.NOTE, message="A note."),),
    )


def _estimates(templates: Templates) -> Iterator[Estimate]:
    """Some of each group, with different finding sites where it has them."""
    for group in templates.groups:
        shown: set[Code | None] = set()
        for field_id in group.field_ids:
            concept = templates.concepts[field_id]
            if field_id == HEART_RATE or concept.site in shown or len(shown) == _SITES_SHOWN:
                continue
            shown.add(concept.site)
            yield Estimate(
                field_id=field_id,
                name=field_id,
                value=2.0,
                lower=1.0,
                upper=3.0,
                unit=concept.unit.value,
                decimals=1,
            )
