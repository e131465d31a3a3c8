"""The spine: from the bytes of one ECG to everything owed for it. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from node.dicom.study import put_patient, read_study
from node.dicom.template import Templates
from node.domain.delivery import RESULTS_MISSING, JobState, ResultKind
from node.domain.elapsed import elapsed_ms
from node.domain.errors import CardioNodeError, DeliveryError, Kind
from node.domain.study import Study
from node.workflow.answer import Answer, describe, predict, read_source
from node.workflow.identity import (
    UNCERTAIN_PATIENT,
    IdentityPolicy,
    doubt_about,
    patient_digest,
)
from node.workflow.intervene import correct_job
from node.workflow.naming import FIRST_REVISION, Source
from node.workflow.owing import Owed, Owing
from node.workflow.ports import (
    Clock,
    Level,
    ObjectStore,
    Orders,
    Run,
    Telemetry,
    Transaction,
    UnitOfWork,
    here,
)
from node.workflow.reconcile import UNCERTAIN_ORDER, OrderPolicy, order_digest, reconcile
from node.workflow.registry import NOTHING_TOLD, Registry, Told
from node.workflow.replacement import replaced_by
from node.workflow.route import Routing
from node.workflow.waiting import release_waiting
from pipelines.contract import Pipeline, Watch, unwatched

if TYPE_CHECKING:
    from node.store.received import Job

ASK_AGAIN_S: Final = 10.0
"""After a RIS has not answered."""
_LONGEST_REASON: Final = 1024
"""Of the column."""


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

    @property
    def _owing(self) -> Owing:
        return Owing(templates=self.templates, routing=self.routing, spool=self.spool, run=self.run)

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
            ordered = self._with_order(job, source, stated.study, told)
            if ordered is None:
                return
            source = replace(
                ordered, revision=job.revision, replaces_sent=bool(replaced.deliveries)
            )
            pipeline = self.pipeline_for(job.origin.called_ae)
            found = predict(source, pipeline=pipeline, watch=watch)
            owed = self._owing.of(job, found, replaced)
        except CardioNodeError as error:
            if error.kind is Kind.TRANSIENT:
                raise
            self.fail(job_id, error.code, error.message)
            return
        if not self._settle(job, found, owed, stated.study, told):
            return
        duration_ms = elapsed_ms(started_at, self.clock())
        if owed.missing:
            self.telemetry.event(
                "results not made: they wait for a person",
                level=Level.ERROR,
                job_id=job_id,
                error_code=RESULTS_MISSING,
                reason=owed.reasons,
            )
        self.telemetry.event(
            "ecg predicted" if found.prediction else "ecg refused by the quality gate",
            job_id=job_id,
            sop_instance_uid=job.sop_instance_uid,
            bundle=found.model.label,
            findings=",".join(finding.code for finding in found.quality.findings),
            duration_ms=duration_ms,
        )

    def _with_patient(self, job: Job, source: Source, told: Told) -> Source | None:
        """The ECG of the patient whom the RIS has merged theirs into; None where it is held."""
        stated, known = source.study, told.patient
        if known is not None and told.was_merged:
            dataset = put_patient(source.dataset, known)
            source = replace(source, dataset=dataset, study=read_study(dataset))
            known = None  # whom it was merged from was, of course, another
        with self.work.begin() as transaction:
            doubt = doubt_about(transaction, job, source.study, self.identity, known)
        if doubt is None:
            return source
        self._hold(job, UNCERTAIN_PATIENT, doubt, stated, told)
        return None

    def _with_order(self, job: Job, source: Source, stated: Study, told: Told) -> Source | None:
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
            self._hold(job, UNCERTAIN_ORDER, doubt, stated, told)
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
                due_at = self.clock() + timedelta(seconds=min(left_s, ASK_AGAIN_S))
                transaction.enqueue_job(job.job_id, run=run, priority=job.priority, due_at=due_at)
        self.telemetry.event(
            "job waits for its order",
            job_id=job.job_id,
            error_code=error.code,
            reason=error.message,
        )
        return True

    def _hold(self, job: Job, code: str, reason: str, stated: Study, told: Told) -> None:
        """Unless a RIS has told more meanwhile: it would have taken up a job that was held."""
        with self.work.begin() as transaction:
            transaction.jobs.lock(job.job_id)
            if self.registry is not None and self.registry.is_doubt_stale(
                transaction, stated, told
            ):
                self._start_over(transaction, job)
                return
            held = transaction.jobs.settle(
                job.job_id,
                JobState.HELD,
                at=self.clock(),
                revision=job.revision,
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

    def _settle(
        self,
        job: Job,
        found: Answer,
        owed: Owed,
        stated: Study,
        told: Told,
    ) -> bool:
        """Commit it all; False where a RIS has told more meanwhile: it is processed again."""
        digests = {result.identifier: self.spool.put(result.content) for _, result in owed.results}
        prediction = found.prediction
        kept = self.spool.put(describe(prediction).encode()) if prediction else None
        model, at = found.model, self.clock()
        code, reasons = _what_is_wrong(found, owed)
        with self.work.begin() as transaction:
            transaction.jobs.lock(job.job_id)
            if self.registry is not None and self.registry.is_stale(transaction, stated, told):
                self._start_over(transaction, job)
                return False
            settled = transaction.jobs.settle(
                job.job_id,
                JobState.COMPLETED if prediction else JobState.NO_RESULT,
                at=at,
                revision=job.revision,
                bundle=model.label,
                prediction_digest=kept,
                order_digest=order_digest(found.source.order),
                error_code=code,
                error_message=reasons,
            )
            if not settled:
                return True
            # What a former run has made of this revision.
            there = {
                (each.identifier, each.destination)
                for each in transaction.outbox.of_job(job.job_id)
                if each.revision == job.revision and each.kind is not ResultKind.ECG
            }
            if there and _is_another(job, found):
                correct_job(transaction, job, at)
                return False
            self._enter(transaction, job, owed, digests, there, at)
        return True

    def _start_over(self, transaction: Transaction, job: Job) -> None:
        run = transaction.jobs.take_up(job.job_id, run=job.run)
        if run is not None:
            transaction.enqueue_job(job.job_id, run=run, priority=job.priority)

    def _enter(
        self,
        transaction: Transaction,
        job: Job,
        owed: Owed,
        digests: Mapping[str, str],
        there: Set[tuple[str, str]],
        at: datetime,
    ) -> None:
        """Have it delivered, but for what is `there`: it is owed once."""
        receivers = {receiver.name for receiver, _ in owed.results}
        for receiver, result in owed.results:
            if (result.identifier, receiver.name) in there:
                continue
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
        if there:  # what is waited for may have been committed since
            release_waiting(transaction, job.job_id, after=self.routing.after_committed, at=at)

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


def _is_another(job: Job, found: Answer) -> bool:
    """Whether it is for another patient or order than what was made in a former run."""
    patient = patient_digest(found.source.study.patient.patient_id)
    return (job.patient_digest, job.order_digest) != (patient, order_digest(found.source.order))


def _what_is_wrong(found: Answer, owed: Owed) -> tuple[str | None, str | None]:
    """Code and reasons of an answered job; None where nothing is wrong."""
    findings = "; ".join(finding.message for finding in found.quality.findings)
    refused = [] if found.prediction else [findings]
    reasons = "; ".join([*refused, *([owed.reasons] if owed.missing else [])])
    if owed.missing:
        return RESULTS_MISSING, reasons[:_LONGEST_REASON]
    return ("quality-gate", findings[:_LONGEST_REASON]) if refused else (None, None)
