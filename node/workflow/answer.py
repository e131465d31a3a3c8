"""From the bytes of one ECG to what it is answered with: read, judged, predicted, composed."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial

from pydicom import Dataset

from node.dicom.part10 import read_part10, source_digest
from node.dicom.study import read_study
from node.dicom.template import Templates
from node.dicom.waveform import read_ecg, read_subject
from node.domain.delivery import ROUTED_RESULTS, USUAL_RESULTS, ResultKind, ResultObject
from node.domain.ecg import ECGRecord, Finding, QualityReport, Severity
from node.domain.errors import InputError, MalformedInstance
from node.domain.form import ResultForm
from node.domain.prediction import ModelIdentity, Prediction
from node.ecg.conditioning import trim_calibration_pulse
from node.ecg.quality import assess
from node.workflow.compose import compose_no_result, compose_objects
from node.workflow.naming import Source
from node.workflow.ports import Run, here
from node.workflow.reconcile import stated_order
from pipelines.contract import Pipeline, Watch, unwatched


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one ECG came to: numbers and pictures, or the reasons why not."""

    source: Source
    model: ModelIdentity
    """What answered, or would have."""
    record: ECGRecord | None
    """None when the waveform could not be read."""
    quality: QualityReport
    prediction: Prediction | None

    @property
    def kinds(self) -> tuple[ResultKind, ...]:
        """The results that can be made of it."""
        if self.prediction is None:
            return (ResultKind.REPORT,)
        return results_of_a_prediction(with_cine=self.prediction.cine is not None)


def results_of_a_prediction(*, with_cine: bool) -> tuple[ResultKind, ...]:
    """The results that follow from a prediction, in the order they are delivered."""
    made = (kind for kind in ResultKind if kind in ROUTED_RESULTS - {ResultKind.ECG})
    return tuple(kind for kind in made if with_cine or kind is not ResultKind.CINE)


def answer(content: bytes, *, pipeline: Pipeline, watch: Watch = unwatched) -> Answer:
    """Read, judge and predict one ECG. Pure: no state is kept and no clock is asked.

    content: a PS3.10 file.
    Raises like `read_source` and `predict`.
    """
    return predict(read_source(content), pipeline=pipeline, watch=watch)


def read_source(content: bytes) -> Source:
    """The ECG of a PS3.10 file.

    Raises MalformedInstance, UnsupportedInstance (not even a study to report to).
    """
    dataset = read_part10(content)
    study = read_study(dataset)
    return Source(
        dataset=dataset, digest=source_digest(dataset), study=study, order=stated_order(study)
    )


def predict(source: Source, *, pipeline: Pipeline, watch: Watch = unwatched) -> Answer:
    """Judge one ECG, and predict where it is good enough.

    Raises MalformedInstance, PredictionError, DeviceError, what `watch` raises.
    """
    record, quality = judge(source.dataset, pipeline.input_spec.minimum_duration_s)
    if record is None or not quality.accepted:
        return Answer(
            source=source,
            model=pipeline.identity,
            record=record,
            quality=quality,
            prediction=None,
        )
    prediction = pipeline.predict(
        record,
        read_subject(source.dataset),
        source_digest=source.digest,
        findings=quality.findings,
        watch=watch,
    )
    return Answer(
        source=source,
        model=prediction.model,
        record=record,
        quality=quality,
        prediction=prediction,
    )


def compose(
    found: Answer,
    templates: Templates,
    form: ResultForm,
    run: Run = here,
    kinds: Collection[ResultKind] = USUAL_RESULTS,
) -> tuple[ResultObject, ...]:
    """The DICOM results of an answer in one form. Pure, as `answer` is.

    run: composes, elsewhere if it likes.
    kinds: those wanted; an ECG without estimate has but a report.
    Raises ConfigurationError (the form's character set cannot write them), InvalidResult,
    BundleError, PredictionError, what `run` raises.
    """
    if found.prediction is None or found.record is None:
        given = (found.quality.findings, found.source, found.model, templates, form)
        return run(compose_no_result, *given)
    objects = partial(compose_objects, kinds=frozenset(kinds))
    return run(objects, found.prediction, found.record, found.source, templates, form)


def judge(dataset: Dataset, minimum_duration_s: float) -> tuple[ECGRecord | None, QualityReport]:
    """The ECG and what is wrong with it; no ECG when the waveform cannot be read."""
    try:
        recorded = read_ecg(dataset)
    except InputError as error:
        return None, QualityReport(findings=(_unreadable(error),))
    quality = assess(recorded, minimum_duration_s=minimum_duration_s)
    return trim_calibration_pulse(recorded), quality


def _unreadable(error: InputError) -> Finding:
    code = "ecg-malformed" if isinstance(error, MalformedInstance) else "ecg-unsupported"
    return Finding(code=code, severity=Severity.REFUSE, message=error.message)


def describe(prediction: Prediction) -> str:
    """The prediction as JSON: every number as the results print it, the model, the findings."""
    model = prediction.model
    cine = prediction.cine
    document: Mapping[str, object] = {
        "model": {name: getattr(model, name) for name in model.__dataclass_fields__},
        "heart_rate_bpm": round(prediction.heart_rate_bpm, 1),
        "estimates": [
            {
                "field_id": estimate.field_id,
                "name": estimate.name,
                "value": estimate.text(estimate.value),
                "lower": estimate.text(estimate.lower),
                "upper": estimate.text(estimate.upper),
                "unit": estimate.unit,
            }
            for estimate in prediction.estimates
        ],
        "diseases": [
            {"field_id": disease.field_id, "name": disease.name, "probability": disease.text()}
            for disease in prediction.diseases
        ],
        "cine": cine
        and {
            "view": cine.view,
            "frames": cine.frames.shape[0],
            "frame_time_ms": round(cine.frame_time_ms, 3),
        },
        "findings": [
            {"code": finding.code, "message": finding.message} for finding in prediction.findings
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
