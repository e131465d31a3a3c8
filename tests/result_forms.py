"""The phantom's results in any form, filed under any ECG, as the node composes them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import product

from pydicom.dataset import Dataset

from node.dicom import dimse
from node.dicom.filing import BESIDE_ECG
from node.dicom.part10 import read_part10, source_digest
from node.dicom.reference import FiledInstance
from node.dicom.sign_off import sign_report
from node.dicom.study import read_study
from node.dicom.template import load_templates
from node.dicom.waveform import read_ecg
from node.domain.code import Code
from node.domain.delivery import ResultKind, ResultObject
from node.domain.ecg import ECGRecord
from node.domain.form import DEFAULT_FORM, CineForm, ReportForm, ResultForm, StudyForm
from node.domain.order import Order
from node.domain.prediction import Prediction
from node.domain.study import Study
from node.domain.user import Signature
from node.workflow.compose import compose_objects, compose_rejection
from node.workflow.naming import Source
from node.workflow.reconcile import stated_order
from tests.ecg_instances import mortara
from tests.result_phantom import DISEASES, ESTIMATES, ecg_head, prediction

TEMPLATES = load_templates()
FORMS = [
    ResultForm(cine=cine, report=report, study=study)
    for cine, report, study in product(CineForm, ReportForm, StudyForm)
    if cine is not CineForm.NONE or report is not ReportForm.NONE
]
"""All but for the character sets."""
CINES = [each for each in CineForm if each is not CineForm.NONE]


@cache
def record() -> ECGRecord:
    """The waveform that goes with the phantom's ECG, which has none."""
    return read_ecg(mortara())


def brief() -> Prediction:
    """A prediction with one of each: judges that are slow take it as well as a long one."""
    return replace(prediction(), estimates=ESTIMATES[-2:-1], diseases=DISEASES[:1])


def source_of(dataset: Dataset) -> Source:
    study = read_study(dataset)
    return Source(
        dataset=dataset, digest=source_digest(dataset), study=study, order=_ordered(study)
    )


def corrected(source: Source) -> Source:
    """The same ECG, whose results replace earlier ones."""
    earlier = FiledInstance(
        study_instance_uid=source.study.study_instance_uid,
        series_instance_uid="1.2.840.99.1",
        sop_class_uid=dimse.COMPREHENSIVE_3D_SR,
        sop_instance_uid="1.2.840.99.2",
    )
    return replace(source, revision=2, predecessor=earlier)


def rejection_note(source: Source) -> ResultObject:
    """Of a report and a picture made of that ECG."""
    report = corrected(source).predecessor
    assert report is not None
    picture = replace(
        report, sop_class_uid=dimse.SECONDARY_CAPTURE, sop_instance_uid="1.2.840.99.3"
    )
    return compose_rejection([report, picture], source, TEMPLATES, BESIDE_ECG)


def signed(report: ResultObject) -> ResultObject:
    """The report as a person has signed it."""
    dataset = read_part10(report.content)
    uid = "1.2.840.99.4"
    content = sign_report(
        report.content,
        Signature(
            user_name="curie",
            person_name="Curie^Marie",
            organization="St. Francis",
            signed_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
        ),
        predecessor=FiledInstance(
            study_instance_uid=str(dataset.StudyInstanceUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            sop_class_uid=report.sop_class_uid,
            sop_instance_uid=report.identifier,
        ),
        sop_instance_uid=uid,
        series_instance_uid="1.2.840.99.5",
        templates=TEMPLATES,
    )
    return replace(report, identifier=uid, content=content)


def _ordered(study: Study) -> Order | None:
    """What the ECG states, with the procedure that a worklist would add."""
    stated = stated_order(study)
    if stated is None:
        return None
    code = Code(value="29303009", scheme="SCT", meaning="Electrocardiographic procedure")
    return replace(stated, procedure=code)


def compose(
    estimate: Prediction, form: ResultForm, source: Dataset, *, is_correction: bool = False
) -> tuple[ResultObject, ...]:
    """The cine and the report; the summary has one form alone."""
    kinds = frozenset({ResultKind.CINE, ResultKind.REPORT})
    ecg = source_of(source)
    if is_correction:
        ecg = corrected(ecg)
    return compose_objects(estimate, record(), ecg, TEMPLATES, form, kinds)


def composed(
    form: ResultForm = DEFAULT_FORM, source: Dataset | None = None, *, with_cine: bool = True
) -> tuple[ResultObject, ...]:
    """source: the ECG, else that of the phantom, whose results are made once."""
    if source is None:
        return _of_the_phantom(form, with_cine)
    return compose(prediction(with_cine=with_cine), form, source)


@cache
def _of_the_phantom(form: ResultForm, with_cine: bool) -> tuple[ResultObject, ...]:
    return composed(form, ecg_head(), with_cine=with_cine)


def of_kind(kind: ResultKind, objects: tuple[ResultObject, ...]) -> list[ResultObject]:
    return [made for made in objects if made.kind is kind]
