"""Finished objects out of an answer. Nothing here asks a clock or draws a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from pydicom import Dataset

from node.dicom import dimse
from node.dicom.cine import build_cine
from node.dicom.structured_report import CineReference, build_no_result_report, build_report
from node.dicom.template import Templates
from node.domain.delivery import ResultKind, ResultObject
from node.domain.ecg import Finding
from node.domain.identifiers import derived_control_id, derived_uid, digest_of
from node.domain.order import Order
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.study import Study
from node.hl7.oru import StudyReferences, build_oru
from node.hl7.profile import Profile

FIRST_REVISION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The ECG a result is made from."""

    dataset: Dataset
    digest: str
    """Of the decoded data set: the same for a re-encoded resend."""
    study: Study
    order: Order | None

    def names(self, model: ModelIdentity, templates: Templates, kind: str) -> tuple[str, ...]:
        """All that a result's identity follows from."""
        return (
            self.digest,
            model.digest,
            model.runtime,
            model.precision,
            model.preset,
            templates.version,
            digest_of(*map(str, astuple(self.study.patient)), *map(str, _order(self.order))),
            kind,
            str(FIRST_REVISION),
        )


def compose_objects(
    prediction: Prediction, source: Source, templates: Templates
) -> tuple[ResultObject, ...]:
    """The DICOM results of a prediction: the cine where the bundle offers one, and the report."""
    model = prediction.model
    objects: list[ResultObject] = []
    reference: CineReference | None = None
    if prediction.cine is not None:
        names = source.names(model, templates, ResultKind.CINE.value)
        reference = CineReference(
            sop_class_uid=dimse.MULTI_FRAME_GRAYSCALE_BYTE_SC,
            sop_instance_uid=derived_uid("instance", *names),
            series_instance_uid=derived_uid("series", *names),
        )
        content = build_cine(
            prediction,
            source.dataset,
            sop_instance_uid=reference.sop_instance_uid,
            series_instance_uid=reference.series_instance_uid,
            templates=templates,
        )
        objects.append(
            ResultObject(
                kind=ResultKind.CINE,
                identifier=reference.sop_instance_uid,
                sop_class_uid=reference.sop_class_uid,
                content=content,
            )
        )
    names = source.names(model, templates, ResultKind.REPORT.value)
    report_uid = derived_uid("instance", *names)
    report = build_report(
        prediction,
        source.dataset,
        sop_instance_uid=report_uid,
        series_instance_uid=derived_uid("series", *names),
        cine_reference=reference,
        templates=templates,
    )
    return (*objects, _report(report_uid, report))


def compose_no_result(
    findings: Sequence[Finding], source: Source, model: ModelIdentity, templates: Templates
) -> tuple[ResultObject, ...]:
    """The report that says why there is no result."""
    names = source.names(model, templates, "no-result")
    report_uid = derived_uid("instance", *names)
    report = build_no_result_report(
        findings,
        source.dataset,
        model,
        sop_instance_uid=report_uid,
        series_instance_uid=derived_uid("series", *names),
        templates=templates,
    )
    return (_report(report_uid, report),)


def compose_message(
    prediction: Prediction,
    source: Source,
    identifiers: Mapping[ResultKind, str],
    *,
    destination: str,
    profile: Profile,
    templates: Templates,
) -> ResultObject:
    """The ORU^R01 for one HL7 destination, with the numbers and codes of the report.

    identifiers: SOP Instance UIDs of the DICOM results.
    """
    report_uid = identifiers[ResultKind.REPORT]
    control_id = derived_control_id(report_uid, destination, str(FIRST_REVISION))
    field_ids = [
        *(estimate.field_id for estimate in prediction.estimates),
        *(disease.field_id for disease in prediction.diseases),
    ]
    content = build_oru(
        prediction,
        source.study,
        source.order,
        profile,
        control_id=control_id,
        codes=templates.codes(field_ids),
        references=StudyReferences(
            report_uid=report_uid, cine_uid=identifiers.get(ResultKind.CINE)
        ),
    )
    return ResultObject(kind=ResultKind.ORU, identifier=control_id, content=content)


def _report(uid: str, content: bytes) -> ResultObject:
    return ResultObject(
        kind=ResultKind.REPORT,
        identifier=uid,
        sop_class_uid=dimse.COMPREHENSIVE_3D_SR,
        content=content,
    )


def _order(order: Order | None) -> tuple[object, ...]:
    return () if order is None else astuple(order)
