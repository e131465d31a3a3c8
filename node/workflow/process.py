"""The spine: from the bytes of one ECG to everything owed for it. Read this first."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Final

from pydicom import Dataset

from node.dicom.part10 import read_part10, source_digest
from node.dicom.study import put_patient, read_study
from node.dicom.template import Templates
from node.dicom.waveform import read_ecg, read_subject
from node.domain.delivery import (
    MESSAGES,
    ROUTED_RESULTS,
    USUAL_RESULTS,
    Delivery,
    JobState,
    ResultKind,
    ResultObject,
)
from node.domain.ecg import ECGRecord, Finding, QualityReport, Severity
from node.domain.errors import (
    CardioNodeError,
    DeliveryError,
    InputError,
    Kind,
    MalformedInstance,
)
from node.domain.form import ResultForm
from node.domain.prediction import ModelIdentity, Prediction
from node.domain.study import Study
from node.ecg.conditioning import trim_calibration_pulse
from node.ecg.quality import assess
from node.workflow.compose import (
    compose_message,
    compose_no_result,
    compose_objects,
    compose_transaction,
)
from node.workflow.identity import UNCERTAIN_PATIENT, IdentityPolicy, doubt_about
from node.workflow.naming import FIRST_REVISION, Source
from node.workflow.ports import Clock, Level, ObjectStore, Orders, Run, Telemetry, UnitOfWork, here
from node.workflow.reconcile import (
    UNCERTAIN_ORDER,
    OrderPolicy,
    order_digest,
    reconcile,
    stated_order,
)
from node.workflow.registry import NOTHING_TOLD, Registry, Told
from node.workflow.replacement import (
    Replaced,
    number_of,
    replaced_by,
    standing_messages,
    take_back,
)
from node.workflow.route import Arrival, Destination, Routing
from pipelines.contract import Pipeline, Watch, unwatched

if TYPE_CHECKING:
    from node.store.received import Job

ASK_AGAIN_S: Final = 10.0
"""After a RIS has not answered."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Processing:
    """Takes one accepted job to rows that say who is owed what."""

    spool: ObjectStore
    work: UnitOfWork
    pipeline_for: Callable[[str], Pipeline]
    """By the AE title that was called."""
    templates: Templates
    routing: Routing
    telemetry: Telemetry
    clock: Clock
    run: Run = here
    """Where results are composed."""
    identity: IdentityPolicy = field(default_factory=IdentityPolicy)
    registry: Registry | None = None
    """What a RIS has told of orders and patients."""
    orders: Orders | None = None
    """Who is asked which order an ECG answers that the registry has none for; else nobody is."""
    order_policy: OrderPolicy = field(default_factory=OrderPolicy)

    def process(self, job_id: int, watch: Watch = unwatched) -> None:
        """Do the job, once: its results and their deliveries are committed with "job done".

        A second call finds the job done and does nothing. What cannot be used ends the job with
        its reason; where its patient or order is in doubt it is held, and where a RIS does not
        answer, put back. Raises CardioNodeError of kind transient: worth another try.
        """
        with self.work.begin() as transaction:
            job = transaction.jobs.get(job_id)
            if job is None or job.state is not JobState.RECEIVED:
                return
            replaced = replaced_by(job, transaction, self.spool)
        started_at = self.clock()
        try:
            content = self.spool.get(job.content_digest)
            stated = read_source(content)
            told = self.registry.look_up(stated.study) if self.registry else NOTHING_TOLD
            source = self._with_patient(job, stated, told)
            if source is None:
                return
            ordered = self._with_order(job, source, told)
            if ordered is None:
                return
            source = replace(
                ordered, revision=job.revision, replaces_sent=bool(replaced.deliveries)
            )
            pipeline = self.pipeline_for(job.origin.called_ae)
            found = predict(source, pipeline=pipeline, watch=watch)
            owed = self._owed(job, found, replaced)
        except CardioNodeError as error:
            if error.kind is Kind.TRANSIENT:
                raise
            self.fail(job_id, error.code, error.message)
            return
        if not self._settle(job, found, owed, stated.study, told):
            return
        elapsed = self.clock() - started_at
        self.telemetry.event(
            "ecg predicted" if found.prediction else "ecg refused by the quality gate",
            job_id=job_id,
            sop_instance_uid=job.sop_instance_uid,
            bundle=found.model.label,
            findings=",".join(finding.code for finding in found.quality.findings),
            duration_ms=int(elapsed.total_seconds() * 1000),
        )

    def _with_patient(self, job: Job, source: Source, told: Told) -> Source | None:
        """The ECG of the patient whom the RIS has merged theirs into; None where it is held."""
        known = told.patient
        if known is not None and told.was_merged:
            dataset = put_patient(source.dataset, known)
            source = replace(source, dataset=dataset, study=read_study(dataset))
            known = None  # whom it was merged from was, of course, another
        with self.work.begin() as transaction:
            doubt = doubt_about(transaction, job, source.study, self.identity, known)
        if doubt is None:
            return source
        self._hold(job, UNCERTAIN_PATIENT, doubt)
        return None

    def _with_order(self, job: Job, source: Source, told: Told) -> Source | None:
        """The ECG with the order it answers; None where the job waits, for that or a person."""
        found = reconcile(source.study, told.orders)
        try:
            if not found.is_scheduled and self.orders is not None:
                found = reconcile(source.study, self.orders.find(source.study))
        except DeliveryError as error:
            if error.kind is not Kind.PERMANENT and self._waits(job, error):
                return None
            self.telemetry.event(
                "order not looked up",
                level=Level.WARNING,
                job_id=job.job_id,
                error_code=error.code,
                reason=error.message,
            )
        doubt = found.doubt
        if not found.is_scheduled and self.order_policy.holds_unmatched:
            doubt = (
                "no order of this ECG was found; it goes on when one comes by HL7, or release or "
                "reject the job"
            )
        if doubt is not None and job.released != UNCERTAIN_ORDER:
            self._hold(job, UNCERTAIN_ORDER, doubt)
            return None
        # Released against the order: it goes with what it states itself.
        return source if found.doubt is not None else replace(source, order=found.order)

    def _waits(self, job: Job, error: DeliveryError) -> bool:
        """Have the job taken up again in a while, and others meanwhile; False if it has waited.

        A correction waits without end: the results that it replaces are there, perhaps with the
        order.
        """
        left_s = self.order_policy.patience_s - (self.clock() - job.received_at).total_seconds()
        if job.revision > FIRST_REVISION:
            left_s = ASK_AGAIN_S
        if left_s <= 0:
            return False
        with self.work.begin() as transaction:
            run = transaction.jobs.take_up(job.job_id, run=job.run)
            if run is not None:
                delay_s = min(left_s, ASK_AGAIN_S)
                transaction.enqueue_job(job.job_id, run=run, priority=job.priority, delay_s=delay_s)
        self.telemetry.event(
            "job waits for its order",
            job_id=job.job_id,
            error_code=error.code,
            reason=error.message,
        )
        return True

    def _hold(self, job: Job, code: str, reason: str) -> None:
        with self.work.begin() as transaction:
            held = transaction.jobs.settle(
                job.job_id,
                JobState.HELD,
                at=self.clock(),
                error_code=code,
                error_message=reason,
            )
        if not held:  # a person was faster
            return
        self.telemetry.event(
            "job held: it waits for a person",
            level=Level.WARNING,
            job_id=job.job_id,
            error_code=code,
            reason=reason,
        )

    def _owed(
        self, job: Job, found: Answer, replaced: Replaced
    ) -> list[tuple[Destination, ResultObject]]:
        """Each result object with the destination it is owed to; each form is composed once."""
        decided = self.routing.decide(
            Arrival(
                origin=job.origin,
                sop_class_uid=job.sop_class_uid,
                dataset=lambda: found.source.dataset,
            )
        )
        receivers = decided.receivers(found.kinds)
        wanted = frozenset(kind for _, kind in receivers)
        archives: dict[ResultForm, set[str]] = {}
        for receiver, kind in receivers:
            if kind not in MESSAGES:
                archives.setdefault(decided.form_for(receiver), set()).add(receiver.name)

        @cache
        def in_form(form: ResultForm) -> Answer:
            predecessor = replaced.report_of(archives.get(form, ()))
            return replace(found, source=replace(found.source, predecessor=predecessor))

        @cache
        def made(form: ResultForm) -> tuple[ResultObject, ...]:
            return compose(in_form(form), self.templates, form, self.run, wanted)

        owed: list[tuple[Destination, ResultObject]] = []
        standing = standing_messages(replaced.deliveries, self.spool)
        for receiver, kind in receivers:
            form = decided.form_for(receiver)
            if kind in MESSAGES:
                message = self._message(in_form(form), form, receiver)
                number = number_of(kind, message.content)
                if (earlier := standing.pop((receiver.name, number), None)) is not None:
                    message = self._message(in_form(form), form, receiver, replaces=earlier)
                owed.append((receiver, message))
            else:
                owed += [(receiver, each) for each in made(form) if each.kind is kind]
        # What no new message stands for, under its number, is wrong from now on, and said so first.
        receiver_of = self.routing.destinations.get
        return [
            (taker, take_back(each, self.spool, job.revision))
            for (name, _), each in standing.items()
            if (taker := receiver_of(name)) is not None
        ] + owed

    def _message(
        self,
        found: Answer,
        form: ResultForm,
        receiver: Destination,
        *,
        replaces: Delivery | None = None,
    ) -> ResultObject:
        """replaces: what the receiver was sent before under the same number."""
        if found.prediction is None or found.record is None:
            raise AssertionError("only a prediction is told in a message")
        compose: Callable[..., ResultObject]
        if receiver.site is not None:
            compose = partial(
                compose_transaction,
                site=receiver.site,
                replaces=None if replaces is None else self.spool.get(replaces.content_digest),
            )
        elif receiver.profile is not None:
            compose = partial(
                compose_message,
                profile=receiver.profile,
                is_correction=replaces is not None,
            )
        else:
            raise AssertionError("who takes messages has a profile or a site")
        compose = partial(compose, destination=receiver.name, templates=self.templates)
        return self.run(compose, found.prediction, found.record, found.source, form)

    def _settle(
        self,
        job: Job,
        found: Answer,
        owed: Sequence[tuple[Destination, ResultObject]],
        stated: Study,
        told: Told,
    ) -> bool:
        """Commit it all; False where a RIS has told more meanwhile: it is processed again."""
        digests = {result.identifier: self.spool.put(result.content) for _, result in owed}
        prediction = found.prediction
        kept = self.spool.put(describe(prediction).encode()) if prediction else None
        findings = "; ".join(finding.message for finding in found.quality.findings)
        model, at = found.model, self.clock()
        with self.work.begin() as transaction:
            transaction.jobs.lock(job.job_id)
            if self.registry is not None and self.registry.is_stale(transaction, stated, told):
                run = transaction.jobs.take_up(job.job_id, run=job.run)
                if run is not None:
                    transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
                return False
            settled = transaction.jobs.settle(
                job.job_id,
                JobState.COMPLETED if found.prediction else JobState.NO_RESULT,
                at=at,
                bundle=model.label,
                prediction_digest=kept,
                order_digest=order_digest(found.source.order),
                error_code=None if found.prediction else "quality-gate",
                error_message=None if found.prediction else findings,
            )
            receivers = {receiver.name for receiver, _ in owed}
            for receiver, result in owed if settled else ():
                waits = receiver.after_committed in receivers
                delivery_id = transaction.outbox.add(
                    job_id=job.job_id,
                    kind=result.kind,
                    identifier=result.identifier,
                    sop_class_uid=result.sop_class_uid,
                    destination=receiver.name,
                    destination_kind=receiver.kind,
                    content_digest=digests[result.identifier],
                    revision=job.revision,
                    at=at,
                    waits=waits,
                )
                if not waits:
                    transaction.enqueue_delivery(
                        delivery_id, run=1, destination=receiver.name, kind=receiver.kind
                    )
        return True

    def fail(self, job_id: int, code: str, message: str) -> None:
        """End the job without results; a person sees why and can set it going again."""
        with self.work.begin() as transaction:
            transaction.jobs.settle(
                job_id,
                JobState.FAILED,
                at=self.clock(),
                error_code=code,
                error_message=message,
            )
        self.telemetry.event(
            "job failed: it waits for a person",
            level=Level.ERROR,
            job_id=job_id,
            error_code=code,
            reason=message,
        )


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
