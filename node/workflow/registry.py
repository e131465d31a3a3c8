"""What a RIS has told by HL7 of orders and patients, and what that changes for ECGs that are here.

Rows say which message has the last word; what it says is read from the message when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from node.dicom.part10 import read_part10
from node.dicom.study import read_study
from node.domain.errors import InputError
from node.domain.identifiers import digest_of
from node.domain.order import Matched, OrderKeys, ScheduledOrder
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
_SIGNED: Final = (
    "its patient was merged, or its order came or changed, after a person had signed its results; "
    "`cardionode jobs correct` has them say so, and they are to be signed again"
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
        now = self._told(transaction, study)
        return now.orders != told.orders or (
            now.standing is not None
            and (
                told.standing is None or now.standing.patient_digest != told.standing.patient_digest
            )
        )

    def is_doubt_stale(self, transaction: Transaction, study: Study, told: Told) -> bool:
        """The same, and whether the patient is described in other words."""
        return self._told(transaction, study) != told

    def is_overtaken(self, transaction: Transaction, news: News, *, message_id: int) -> bool:
        """Whether a later message has spoken of a patient or an order that this one tells of."""
        for told in news.patients:
            named = [told.patient.patient_id, *([told.prior.patient_id] if told.prior else [])]
            digests = [digest_of("patient", each) for each in named]
            if transaction.patients.last_word(digests) > message_id:
                return True
        for placed in news.orders:
            last, is_cancelled = transaction.orders.last_word(_keys(placed.scheduled))
            if last > message_id or (is_cancelled and not placed.scheduled.is_cancelled):
                return True
        return False

    def note(
        self, transaction: Transaction, news: News, *, message_id: int, at: datetime
    ) -> Followed:
        """Have a message's word stand, and do what follows from it.

        Held ECGs of its patients and orders are processed again, and where a patient was merged
        those whose results are not all sent: what was, the receivers merge themselves.
        """
        concerned = _Concerned()
        for place, order in enumerate(news.orders):
            _note_order(transaction, order, concerned, message_id=message_id, place=place)
        for place, told in enumerate(news.patients):
            _note_patient(transaction, told, concerned, message_id=message_id, place=place)
        # One that is about to settle or be held has done so before this is looked for, or finds
        # what is noted here.
        transaction.jobs.lock_of(**concerned.by())
        followed = Followed(again=_take_up_held(transaction, concerned))
        for given_up, stays in concerned.merges:
            for job in transaction.jobs.answered_with_results_owed(patient_digests=given_up):
                if transaction.users.is_signed(job.job_id, revision=job.revision):
                    followed.doubtful.append((job.job_id, _SIGNED))
                elif correct_job(transaction, job, at):
                    followed.again.append(job.job_id)
            transaction.jobs.move_to_patient(stays, given_up=given_up)
        for job in transaction.jobs.answered_of(
            study_instance_uids=concerned.studies, accession_digests=concerned.accessions
        ):
            try:
                self._follow_late(transaction, job, followed, at)
            except InputError as error:
                followed.doubtful.append((job.job_id, error.message))
        return followed

    def _follow_late(
        self, transaction: Transaction, job: Job, followed: Followed, at: datetime
    ) -> None:
        """See whether the results of a job would name another order now. Raises InputError."""
        study = read_study(read_part10(self.spool.get(job.content_digest)))
        told = self._told(transaction, study)
        if told.was_merged and told.patient is not None:
            study = replace(study, patient=told.patient)
        found = reconcile(study, told.orders)
        if found.doubt is not None:
            followed.doubtful.append((job.job_id, found.doubt))
        elif not found.is_scheduled or order_digest(found.order) == job.order_digest:
            return
        elif transaction.users.is_signed(job.job_id, revision=job.revision):
            followed.doubtful.append((job.job_id, _SIGNED))
        elif self.corrects_late and correct_job(transaction, job, at):
            followed.again.append(job.job_id)
        else:
            followed.doubtful.append((job.job_id, _LATE))

    def _told(self, transaction: Transaction, study: Study) -> Told:
        news = cache(self._news)  # several orders may stand in one message
        standing = _standing(transaction, study.patient)
        return Told(
            patient=_patient(standing, study.patient, news),
            was_merged=standing is not None and standing.was_merged,
            orders=tuple(
                _order(transaction, row, study, news) for row in _rows(transaction, study)
            ),
            standing=standing,
        )

    def _news(self, word: Word) -> News:
        content = self.spool.get(word.content_digest)
        return read_news(content, word.message_type, unmarked=word.unmarked_charset)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Concerned:
    """Whom and what a message is about, by digest."""

    patients: set[str] = field(default_factory=set)
    studies: set[str] = field(default_factory=set)
    accessions: set[str] = field(default_factory=set)
    merges: list[tuple[list[str], str]] = field(default_factory=list)
    """The identifiers that are given up, and the one that stays."""

    def by(self) -> dict[str, set[str]]:
        """As queries ask."""
        return {
            "patient_digests": self.patients,
            "study_instance_uids": self.studies,
            "accession_digests": self.accessions,
        }

    def add_patient(self, transaction: Transaction, patient: Patient) -> None:
        """With all identifiers that he is, or was, known by."""
        digest = patient_digest(patient.patient_id)
        if digest is None:
            return
        standing = transaction.patients.find(digest)
        stays = digest if standing is None else standing.patient_digest
        self.patients.update((digest, stays, *transaction.patients.merged_into(stays)))

    def add_order(self, matched: Iterable[Matched]) -> None:
        for each in matched:
            self.studies.update(filter(None, [each.study_instance_uid]))
            self.accessions.update(filter(None, [each.accession_digest]))


def _order(
    transaction: Transaction, row: KnownOrder, study: Study, news: Callable[[Word], News]
) -> ScheduledOrder:
    """As it is now: with the patient whom its was merged into, and what its last message left out.

    study: for which it was found.
    """
    scheduled = news(row.word).orders[row.word.place].scheduled
    standing = _standing(transaction, scheduled.patient)
    if standing is not None and standing.was_merged:
        merged = _patient(standing, scheduled.patient, news)
        scheduled = replace(scheduled, patient=merged or scheduled.patient)
    order = scheduled.order
    if row.matched.accession_digest == accession_digest(study.accession_number):
        order = replace(order, accession_number=study.accession_number)
    return replace(
        scheduled,
        order=order,
        study_instance_uid=row.matched.study_instance_uid or "",
        is_cancelled=row.is_cancelled,
    )


def _patient(
    standing: KnownPatient | None, asked: Patient, news: Callable[[Word], News]
) -> Patient | None:
    """Who an identifier is now; None where, on the way, another authority gave it."""
    if standing is None:
        return None
    *merges, last = standing.words
    for word in merges:
        told = news(word).patients[word.place]
        if told.prior is None or _is_anothers(asked, told.prior):
            return None
        asked = told.patient
    patient = news(last).patients[last.place].patient
    return None if _is_anothers(asked, patient) else patient


def _is_anothers(one: Patient, other: Patient) -> bool:
    """Whether both say who gave the identifier, and do not agree."""
    stated = (
        (one.issuer_of_patient_id, other.issuer_of_patient_id),
        (one.issuer_universal_id, other.issuer_universal_id),
    )
    return any(mine and others and mine != others for mine, others in stated)


def _rows(transaction: Transaction, study: Study) -> tuple[KnownOrder, ...]:
    return transaction.orders.find(
        study_instance_uid=study.study_instance_uid,
        accession_digest=accession_digest(study.accession_number),
    )


def _standing(transaction: Transaction, patient: Patient) -> KnownPatient | None:
    """The row that has the last word on a patient."""
    digest = patient_digest(patient.patient_id)
    return None if digest is None else transaction.patients.find(digest)


def _note_order(
    transaction: Transaction,
    news: OrderNews,
    concerned: _Concerned,
    *,
    message_id: int,
    place: int,
) -> None:
    """A cancellation, and what an ECG cannot be matched by, leave the last word where it is."""
    scheduled, book = news.scheduled, transaction.orders
    keys, is_cancelled = _keys(scheduled), scheduled.is_cancelled
    concerned.add_patient(transaction, scheduled.patient)
    concerned.add_order([Matched(keys.study_instance_uid, keys.accession_digest)])
    known: list[Matched] = []
    if is_cancelled or (news.is_placed and not news.is_described):
        known = book.set_cancelled(keys, is_cancelled=is_cancelled)
    if not known and (news.is_described or is_cancelled):
        says = is_cancelled if is_cancelled or news.is_placed else None
        known = book.put(keys, message_id=message_id, place=place, is_cancelled=says)
    concerned.add_order(known)


def _note_patient(
    transaction: Transaction,
    news: PatientNews,
    concerned: _Concerned,
    *,
    message_id: int,
    place: int,
) -> None:
    stays = digest_of("patient", news.patient.patient_id)
    if news.prior is None or news.prior.patient_id == news.patient.patient_id:
        transaction.patients.put(stays, message_id=message_id, place=place)
    else:
        prior = digest_of("patient", news.prior.patient_id)
        concerned.merges.append(([prior, *transaction.patients.merged_into(prior)], stays))
        transaction.patients.merge(prior, into=stays, message_id=message_id, place=place)
    concerned.add_patient(transaction, news.patient)


def _take_up_held(transaction: Transaction, concerned: _Concerned) -> list[int]:
    again = []
    for job in transaction.jobs.held_of(**concerned.by()):
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
