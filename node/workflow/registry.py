"""What a RIS has told by HL7 of orders and patients, and what that changes for ECGs that are here.

Rows say which message has the last word; what it says is read from the message when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from node.domain.identifiers import digest_of
from node.domain.order import Order, OrderKeys, ScheduledOrder
from node.domain.study import Patient, Study
from node.hl7.news import News, read_news
from node.hl7.orders import OrderNews
from node.hl7.patients import PatientNews
from node.workflow.identity import patient_digest
from node.workflow.intervene import correct_job
from node.workflow.ports import ObjectStore, Transaction, UnitOfWork

if TYPE_CHECKING:
    from node.store.messages import Word
    from node.store.patients import KnownPatient


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldPatient:
    """What the RIS has told of the patient of an ECG."""

    stands_for: str | None = None
    """Digest of the identifier that the ECG's stands for now; None where nothing is known of it."""
    patient: Patient | None = field(default=None, repr=False)
    """As the RIS has him; None too where another authority gave that identifier."""
    was_merged: bool = False
    """Whether under another identifier than the ECG has."""


NOTHING_TOLD = ToldPatient()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Notes what messages tell, and looks it up."""

    spool: ObjectStore
    work: UnitOfWork

    def find(self, study: Study) -> Sequence[ScheduledOrder]:
        """The orders of the ECG's study or accession number. Raises StorageError."""
        with self.work.begin() as transaction:
            rows = transaction.orders.find(
                study_instance_uid=study.study_instance_uid,
                accession_digest=_digest("accession", study.accession_number),
            )
        return [
            self._as_it_is_now(
                self._news(row.word).orders[row.word.place].scheduled, row.is_cancelled
            )
            for row in rows
        ]

    def _as_it_is_now(self, scheduled: ScheduledOrder, is_cancelled: bool) -> ScheduledOrder:
        """With the patient whom the order's was merged into since."""
        told = self.patient(scheduled.patient)
        patient = (
            told.patient if told.patient is not None and told.was_merged else scheduled.patient
        )
        return replace(scheduled, patient=patient, is_cancelled=is_cancelled)

    def patient(self, patient: Patient) -> ToldPatient:
        """Who the Patient ID of an ECG stands for. Raises StorageError."""
        with self.work.begin() as transaction:
            row = standing(transaction, patient)
        if row is None:
            return NOTHING_TOLD
        told = self._news(row.word).patients[row.word.place].patient
        issuers = {told.issuer_of_patient_id, patient.issuer_of_patient_id} - {""}
        return ToldPatient(
            stands_for=row.patient_digest,
            patient=told if len(issuers) < 2 else None,
            was_merged=row.was_merged,
        )

    def _news(self, word: Word) -> News:
        content = self.spool.get(word.content_digest)
        return read_news(content, word.message_type, unmarked=word.unmarked_charset)


def is_merged_since(transaction: Transaction, patient: Patient, told: ToldPatient) -> bool:
    """Whether the patient of an ECG stands for another than was told."""
    row = standing(transaction, patient)
    return (row.patient_digest if row is not None else None) not in (None, told.stands_for)


def standing(transaction: Transaction, patient: Patient) -> KnownPatient | None:
    """The row that has the last word on a patient."""
    digest = patient_digest(patient.patient_id)
    return None if digest is None else transaction.patients.find(digest)


def note(transaction: Transaction, news: News, *, message_id: int, at: datetime) -> list[int]:
    """Have a message's word stand; the jobs that are processed again because of it.

    Those are the held ones of its patients and studies, and where a patient was merged those whose
    results are not all sent: what was, the receivers merge themselves.
    """
    for place, order in enumerate(news.orders):
        _note_order(transaction, order, message_id=message_id, place=place)
    given_up: list[str] = []
    for place, told in enumerate(news.patients):
        given_up += _note_patient(transaction, told, message_id=message_id, place=place)
    again = _take_up_held(transaction, news)
    # One that is about to settle has settled before this is looked for, or finds the merge.
    transaction.jobs.lock_of(given_up)
    for job in transaction.jobs.answered_with_results_owed(patient_digests=given_up):
        if correct_job(transaction, job, at):
            again.append(job.job_id)
    return again


def _note_order(transaction: Transaction, news: OrderNews, *, message_id: int, place: int) -> None:
    keys, is_cancelled = _keys(news.scheduled), news.scheduled.is_cancelled
    book = transaction.orders
    if news.is_described or not book.set_cancelled(keys, is_cancelled=is_cancelled):
        book.put(keys, message_id=message_id, place=place, is_cancelled=is_cancelled)


def _note_patient(
    transaction: Transaction, news: PatientNews, *, message_id: int, place: int
) -> list[str]:
    """The identifiers that are given up by it, by digest."""
    digest = digest_of("patient", news.patient.patient_id)
    if news.prior is None or news.prior.patient_id == news.patient.patient_id:
        transaction.patients.put(digest, message_id=message_id, place=place)
        return []
    prior = digest_of("patient", news.prior.patient_id)
    given_up = [prior, *transaction.patients.merged_into(prior)]
    transaction.patients.merge(prior, into=digest, message_id=message_id, place=place)
    return given_up


def _take_up_held(transaction: Transaction, news: News) -> list[int]:
    orders = [each.scheduled for each in news.orders]
    told = [each.patient for each in orders] + [each.patient for each in news.patients]
    told += [each.prior for each in news.patients if each.prior is not None]
    digests = {patient_digest(each.patient_id) for each in told} - {None}
    held = transaction.jobs.held_of(
        patient_digests=[each for each in digests if each is not None],
        study_instance_uids=[each.study_instance_uid for each in orders],
    )
    again = []
    for job in held:
        run = transaction.jobs.start_again(job.job_id)
        if run is not None:
            transaction.enqueue_job(job.job_id, run=run, priority=job.priority)
            again.append(job.job_id)
    return again


def _keys(scheduled: ScheduledOrder) -> OrderKeys:
    order: Order = scheduled.order
    return OrderKeys(
        placer_digest=_digest("placer", order.placer_order_number, order.placer_issuer),
        filler_digest=_digest("filler", order.filler_order_number, order.filler_issuer),
        accession_digest=_digest("accession", order.accession_number),
        procedure_digest=_digest("procedure", order.requested_procedure_id),
        study_instance_uid=scheduled.study_instance_uid or None,
    )


def _digest(name: str, number: str, issuer: Iterable[str] = ()) -> str | None:
    return digest_of(name, number, *filter(None, issuer)) if number else None
