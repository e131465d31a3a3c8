"""What a RIS has told by HL7 of orders and patients, and what that changes for ECGs that are here.

Rows say which message has the last word; what it says is read from the message when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from node.dicom.part10 import read_part10
from node.dicom.study import read_study
from node.domain.errors import InputError
from node.domain.identifiers import digest_of
from node.domain.order import OrderKeys, ScheduledOrder
from node.domain.study import Patient, Study
from node.hl7.news import News, read_news
from node.hl7.orders import OrderNews
from node.hl7.patients import PatientNews
from node.workflow.identity import accession_digest, patient_digest
from node.workflow.intervene import correct_job
from node.workflow.ports import ObjectStore, Transaction, UnitOfWork
from node.workflow.reconcile import order_digest, reconcile

if TYPE_CHECKING:
    from node.store.messages import Word
    from node.store.orders import KnownOrder
    from node.store.patients import KnownPatient
    from node.store.received import Job

_LATE: Final = (
    "its order came, or changed, after its results were made; `cardionode jobs correct` has them "
    "name it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is known of the patient and the order of one ECG."""

    patient: Patient | None = field(default=None, repr=False)
    """Whom the RIS has under the ECG's Patient ID; None where it has told nothing of that, or
    another authority gave it."""
    was_merged: bool = False
    """Whether under another identifier than the ECG has."""
    orders: tuple[ScheduledOrder, ...] = field(default=(), repr=False)
    """Of the ECG's study or accession number."""
    standing: KnownPatient | None = None
    rows: tuple[KnownOrder, ...] = ()


NOTHING_TOLD: Final = Told()


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What came of a message."""

    again: list[int] = field(default_factory=list)
    """Jobs that are processed again."""
    doubtful: list[tuple[int, str]] = field(default_factory=list)
    """Answered jobs that a person should look at, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Notes what messages tell, and looks it up."""

    spool: ObjectStore
    work: UnitOfWork
    corrects_late: bool = False
    """Whether an order that comes after the results has them made anew."""

    def look_up(self, study: Study) -> Told:
        """What is known of the ECG of this study. Raises StorageError."""
        with self.work.begin() as transaction:
            return self._told(transaction, study)

    def is_stale(self, transaction: Transaction, study: Study, told: Told) -> bool:
        """Whether the patient was merged, or an order came or changed, since that was told."""
        standing = _standing(transaction, study.patient)
        return _rows(transaction, study) != told.rows or (
            standing is not None
            and (told.standing is None or standing.patient_digest != told.standing.patient_digest)
        )

    def note(
        self, transaction: Transaction, news: News, *, message_id: int, at: datetime
    ) -> Followed:
        """Have a message's word stand, and do what follows from it.

        Held ECGs of its patients and studies are processed again, and where a patient was merged
        those whose results are not all sent: what was, the receivers merge themselves.
        """
        for place, order in enumerate(news.orders):
            _note_order(transaction, order, message_id=message_id, place=place)
        given_up: list[str] = []
        for place, told in enumerate(news.patients):
            given_up += _note_patient(transaction, told, message_id=message_id, place=place)
        followed = Followed(again=_take_up_held(transaction, news))
        if given_up:
            # One that is about to settle has settled before this is looked for, or finds the merge.
            transaction.jobs.lock_of(given_up)
            for job in transaction.jobs.answered_with_results_owed(patient_digests=given_up):
                if correct_job(transaction, job, at):
                    followed.again.append(job.job_id)
        for job in self._answered(transaction, news):
            self._follow_late(transaction, job, followed, at)
        return followed

    def _answered(self, transaction: Transaction, news: News) -> Iterator[Job]:
        orders = [each.scheduled for each in news.orders]
        digests = [accession_digest(each.order.accession_number) for each in orders]
        yield from transaction.jobs.answered_of(
            study_instance_uids=[each.study_instance_uid for each in orders],
            accession_digests=[each for each in digests if each is not None],
        )

    def _follow_late(
        self, transaction: Transaction, job: Job, followed: Followed, at: datetime
    ) -> None:
        """See whether the results of a job would name another order now."""
        try:
            study = read_study(read_part10(self.spool.get(job.content_digest)))
        except InputError:  # it was answered once: whoever can, reads it
            return
        told = self._told(transaction, study)
        if told.was_merged and told.patient is not None:
            study = replace(study, patient=told.patient)
        found = reconcile(study, told.orders)
        if found.doubt is not None:
            followed.doubtful.append((job.job_id, found.doubt))
        elif not found.is_scheduled or order_digest(found.order) == job.order_digest:
            return
        elif self.corrects_late and correct_job(transaction, job, at):
            followed.again.append(job.job_id)
        else:
            followed.doubtful.append((job.job_id, _LATE))

    def _told(self, transaction: Transaction, study: Study) -> Told:
        rows = _rows(transaction, study)
        standing = _standing(transaction, study.patient)
        return Told(
            patient=self._patient(standing, study.patient),
            was_merged=standing is not None and standing.was_merged,
            orders=tuple(self._order(transaction, row) for row in rows),
            standing=standing,
            rows=rows,
        )

    def _order(self, transaction: Transaction, row: KnownOrder) -> ScheduledOrder:
        """With the patient whom the order's was merged into since."""
        scheduled = self._news(row.word).orders[row.word.place].scheduled
        standing = _standing(transaction, scheduled.patient)
        if standing is not None and standing.was_merged:
            merged = self._patient(standing, scheduled.patient)
            scheduled = replace(scheduled, patient=merged or scheduled.patient)
        return replace(scheduled, is_cancelled=row.is_cancelled)

    def _patient(self, standing: KnownPatient | None, asked: Patient) -> Patient | None:
        if standing is None:
            return None
        told = self._news(standing.word).patients[standing.word.place].patient
        issuers = {told.issuer_of_patient_id, asked.issuer_of_patient_id} - {""}
        return told if len(issuers) < 2 else None

    def _news(self, word: Word) -> News:
        content = self.spool.get(word.content_digest)
        return read_news(content, word.message_type, unmarked=word.unmarked_charset)


def _rows(transaction: Transaction, study: Study) -> tuple[KnownOrder, ...]:
    return transaction.orders.find(
        study_instance_uid=study.study_instance_uid,
        accession_digest=accession_digest(study.accession_number),
    )


def _standing(transaction: Transaction, patient: Patient) -> KnownPatient | None:
    """The row that has the last word on a patient."""
    digest = patient_digest(patient.patient_id)
    return None if digest is None else transaction.patients.find(digest)


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
    order = scheduled.order
    return OrderKeys(
        placer_digest=_digest("placer", order.placer_order_number, order.placer_issuer),
        filler_digest=_digest("filler", order.filler_order_number, order.filler_issuer),
        accession_digest=accession_digest(order.accession_number),
        procedure_digest=_digest("procedure", order.requested_procedure_id),
        study_instance_uid=scheduled.study_instance_uid or None,
    )


def _digest(name: str, number: str, issuer: Iterable[str] = ()) -> str | None:
    return digest_of(name, number, *filter(None, issuer)) if number else None
