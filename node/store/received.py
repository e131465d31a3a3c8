"""Received instances and the jobs they cause."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from node.domain.delivery import (
    ARRIVED,
    JOB_TRANSITIONS,
    RESULTS_MISSING,
    ROUTED_RESULTS,
    DeliveryState,
    DestinationKind,
    JobState,
    Priority,
    ResultKind,
)
from node.domain.errors import ConflictingInstance
from node.domain.instance import Origin, ReceivedInstance
from node.store.tables import (
    attempt,
    commitment,
    commitment_instance,
    delivery,
    hl7_message,
    job,
    signature,
)

# Built once: building them costs more than they do, and each C-STORE waits for the first two.
_ADD = job.insert().returning(job.c.job_id)
_OF_INSTANCE = (
    job.select().where(job.c.sop_instance_uid == sa.bindparam("uid")).order_by(job.c.job_id)
)
MOST_ANSWERED = 20
"""ECGs that a message that came late is held against: each is read while the message waits."""
_ANSWERED = (JobState.COMPLETED, JobState.NO_RESULT)
FINISHED = (*_ANSWERED, JobState.CANCELLED, JobState.WITHDRAWN)
"""Nothing is to be done for these jobs any more, once their deliveries are settled."""
UNUSABLE = (JobState.FAILED, JobState.CONFLICT)
"""Nothing was done for these, and a person might."""
_VALUES_UNUSABLE = [state.value for state in UNUSABLE]
_DOUBTFUL = (JobState.HELD, JobState.CONFLICT, JobState.CANCELLED, JobState.WITHDRAWN)
_UNSENT_DELIVERIES = [
    state.value
    for state in (
        DeliveryState.PENDING,
        DeliveryState.WAITING,
        DeliveryState.REFUSED,
        DeliveryState.EXHAUSTED,
    )
]
_SETTLED_DELIVERIES = [state.value for state in (*ARRIVED, DeliveryState.CANCELLED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One row: a received instance and how far its work is."""

    job_id: int
    state: JobState
    run: int
    """How often it was to be processed anew: by a person, for a RIS that was down."""
    revision: int
    """How often results were to be made of it that replace others: 1 is the first."""
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    origin: Origin
    content_digest: str
    size_bytes: int
    received_at: datetime
    priority: Priority
    patient_digest: str | None = field(repr=False)
    """Tells the ECGs of one patient. None without a Patient ID, and before it was read."""
    study_instance_uid: str | None
    """None before it was read."""
    accession_digest: str | None = field(repr=False)
    """Likewise, and without an accession number."""
    order_digest: str | None = field(repr=False)
    """Of the order that its results name."""
    released: str | None
    """Error code of the doubt that a person let it go in spite of, the last one."""
    conflicts_with: int | None
    settled_at: datetime | None
    bundle: str | None
    prediction_digest: str | None
    error_code: str | None
    error_message: str | None


class Jobs:
    """Reads and writes jobs inside one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self,
        instance: ReceivedInstance,
        *,
        priority: Priority = Priority.ROUTINE,
        patient_digest: str | None = None,
        conflicts_with: int | None = None,
        error: str = "",
    ) -> int:
        """A new job; `conflict` when it contradicts an earlier one, else `received`."""
        state = JobState.RECEIVED if conflicts_with is None else JobState.CONFLICT
        row = {
            "state": state.value,
            "sop_class_uid": instance.sop_class_uid,
            "sop_instance_uid": instance.sop_instance_uid,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "calling_ae": instance.origin.calling_ae,
            "called_ae": instance.origin.called_ae,
            "peer": instance.origin.peer,
            "content_digest": instance.content_digest,
            "size_bytes": instance.size_bytes,
            "received_at": instance.received_at,
            "priority": priority.value,
            "patient_digest": patient_digest,
            "conflicts_with": conflicts_with,
            "error_code": ConflictingInstance.code if conflicts_with is not None else None,
            "error_message": error or None,
        }
        return int(self._connection.execute(_ADD, row).scalar_one())

    def of_instance(self, sop_instance_uid: str) -> list[Job]:
        """All jobs of that SOP instance, the first received first."""
        rows = self._connection.execute(_OF_INSTANCE, {"uid": sop_instance_uid})
        return [_read(row) for row in rows]

    def get(self, job_id: int) -> Job | None:
        row = self._connection.execute(job.select().where(job.c.job_id == job_id)).one_or_none()
        return None if row is None else _read(row)

    def lock(self, job_id: int) -> None:
        """Have others who ask for this wait until the transaction ends (on SQLite they do)."""
        self._connection.execute(
            sa.select(job.c.job_id).where(job.c.job_id == job_id).with_for_update()
        )

    def lock_of(
        self,
        *,
        patient_digests: Collection[str],
        study_instance_uids: Collection[str],
        accession_digests: Collection[str],
    ) -> None:
        """The same for all of these patients, studies and accession numbers."""
        query = sa.select(job.c.job_id).where(
            sa.or_(
                job.c.patient_digest.in_(patient_digests),
                job.c.study_instance_uid.in_(study_instance_uids),
                job.c.accession_digest.in_(accession_digests),
            )
        )
        self._connection.execute(query.order_by(job.c.job_id).with_for_update())

    def move_to_patient(self, patient_digest: str, *, given_up: Collection[str]) -> None:
        """Have the ECGs of identifiers that were given up be those of the one that stays."""
        self._connection.execute(
            job.update()
            .where(job.c.patient_digest.in_(given_up))
            .values(patient_digest=patient_digest)
        )

    def latest(
        self, *, limit: int, state: JobState | None = None, before: int | None = None
    ) -> list[Job]:
        """The last received first. before: only those with a smaller number."""
        query = job.select().order_by(job.c.job_id.desc()).limit(limit)
        if state is not None:
            query = query.where(job.c.state == state.value)
        if before is not None:
            query = query.where(job.c.job_id < before)
        return [_read(row) for row in self._connection.execute(query)]

    def known_by(
        self, uid: str, *, patient_digest: str, accession_digest: str, limit: int
    ) -> list[Job]:
        """Those of one instance, study, patient or accession number, the last received first."""
        query = job.select().where(
            sa.or_(
                job.c.sop_instance_uid == uid,
                job.c.study_instance_uid == uid,
                job.c.patient_digest == patient_digest,
                job.c.accession_digest == accession_digest,
            )
        )
        latest = query.order_by(job.c.job_id.desc()).limit(limit)
        return [_read(row) for row in self._connection.execute(latest)]

    def times_since(self, at: datetime, *, limit: int) -> list[tuple[datetime, datetime | None]]:
        """When the last ones were received, and answered, the last received first."""
        last = sa.select(sa.func.max(job.c.job_id)).scalar_subquery()
        query = sa.select(job.c.received_at, job.c.settled_at, job.c.state).where(
            job.c.job_id > last - limit, job.c.received_at >= at
        )
        answered = {state.value for state in _ANSWERED}
        return [
            (row.received_at, row.settled_at if row.state in answered else None)
            for row in self._connection.execute(query.order_by(job.c.job_id.desc()))
        ]

    def identify(
        self,
        job_id: int,
        *,
        study_instance_uid: str,
        patient_digest: str | None,
        accession_digest: str | None,
    ) -> list[int]:
        """Note whose ECG it is; other jobs of the study with another patient, oldest first.

        Those that are held, in conflict, cancelled or withdrawn say nothing about the patient.
        """
        self._connection.execute(
            job.update()
            .where(job.c.job_id == job_id)
            .values(
                study_instance_uid=study_instance_uid,
                patient_digest=patient_digest,
                accession_digest=accession_digest,
            )
        )
        if patient_digest is None:
            return []
        query = sa.select(job.c.job_id).where(
            job.c.study_instance_uid == study_instance_uid,
            job.c.patient_digest != patient_digest,
            job.c.state.not_in([state.value for state in _DOUBTFUL]),
        )
        return list(self._connection.scalars(query.order_by(job.c.job_id)))

    def release(self, job_id: int) -> int | None:
        """Have a held job processed in spite of its doubt; its new run, None if it is not held."""
        released = self._connection.execute(
            job.update()
            .where(job.c.job_id == job_id, job.c.state == JobState.HELD.value)
            .values(released=job.c.error_code)
        )
        return self.start_again(job_id) if released.rowcount == 1 else None

    def raise_earlier(self, job_id: int) -> list[Job]:
        """Give that job's priority to all earlier ones of its patient that have a lower one.

        Those are given, the first received first, of which the answer or a message is still owed.
        """
        later = self.get(job_id)
        if later is None or later.patient_digest is None:
            return []
        ranks = list(Priority)
        lower = [each.value for each in ranks[ranks.index(later.priority) + 1 :]]
        owed = sa.select(delivery.c.delivery_id).where(
            delivery.c.job_id == job.c.job_id,
            delivery.c.destination_kind == DestinationKind.HL7.value,
            delivery.c.state.in_([DeliveryState.PENDING.value, DeliveryState.WAITING.value]),
        )
        behind = sa.and_(
            job.c.patient_digest == later.patient_digest,
            job.c.job_id < job_id,
            job.c.priority.in_(lower),
            sa.or_(job.c.state == JobState.RECEIVED.value, owed.exists()),
        )
        raised = job.update().where(behind).values(priority=later.priority.value)
        rows = self._connection.execute(raised.returning(*job.c)).all()
        return sorted((_read(row) for row in rows), key=lambda each: each.job_id)

    def held_of(
        self,
        *,
        patient_digests: Collection[str],
        study_instance_uids: Collection[str],
        accession_digests: Collection[str],
    ) -> list[Job]:
        """Those that wait for a person, of one of the patients, studies or accession numbers."""
        query = job.select().where(
            job.c.state == JobState.HELD.value,
            sa.or_(
                job.c.patient_digest.in_(patient_digests),
                job.c.study_instance_uid.in_(study_instance_uids),
                job.c.accession_digest.in_(accession_digests),
            ),
        )
        return [_read(row) for row in self._connection.execute(query.order_by(job.c.job_id))]

    def answered_with_results_owed(self, *, patient_digests: Collection[str]) -> list[Job]:
        """Of one of the patients, those of which a result has not arrived yet, or is not made."""
        owed = sa.select(delivery.c.delivery_id).where(
            delivery.c.job_id == job.c.job_id,
            delivery.c.kind.in_([kind.value for kind in ROUTED_RESULTS - {ResultKind.ECG}]),
            delivery.c.state.in_(_UNSENT_DELIVERIES),
            ~_has_signed_copy(),
        )
        query = job.select().where(
            job.c.state.in_([state.value for state in _ANSWERED]),
            job.c.patient_digest.in_(patient_digests),
            sa.or_(owed.exists(), job.c.error_code == RESULTS_MISSING),
        )
        return [_read(row) for row in self._connection.execute(query.order_by(job.c.job_id))]

    def answered_of(
        self, *, study_instance_uids: Collection[str], accession_digests: Collection[str]
    ) -> list[Job]:
        """The last MOST_ANSWERED of one of the studies or accession numbers, the latest first."""
        query = job.select().where(
            job.c.state.in_([state.value for state in _ANSWERED]),
            sa.or_(
                job.c.study_instance_uid.in_(study_instance_uids),
                job.c.accession_digest.in_(accession_digests),
            ),
        )
        latest = query.order_by(job.c.job_id.desc()).limit(MOST_ANSWERED)
        return [_read(row) for row in self._connection.execute(latest)]

    def count_by_state(self) -> dict[JobState, int]:
        rows = self._connection.execute(
            sa.select(job.c.state, sa.func.count()).group_by(job.c.state)
        )
        counts = {JobState(state): count for state, count in rows}
        return {state: counts.get(state, 0) for state in JobState}

    def ended_before(
        self, at: datetime, *, limit: int, states: Collection[JobState] = FINISHED
    ) -> list[Job]:
        """Jobs that ended in these states before, none of whose results is missing or on its way.

        What was cancelled is not.
        """
        open_deliveries = sa.select(delivery.c.delivery_id).where(
            delivery.c.job_id == job.c.job_id,
            delivery.c.state.not_in(_SETTLED_DELIVERIES),
            ~_has_signed_copy(),
        )
        query = (
            job.select()
            .where(
                job.c.state.in_([state.value for state in states]),
                sa.func.coalesce(job.c.settled_at, job.c.received_at) < at,
                job.c.error_code.is_distinct_from(RESULTS_MISSING),
                ~open_deliveries.exists(),
                # What failed is perhaps a correction of what was sent.
                sa.or_(job.c.state.not_in(_VALUES_UNUSABLE), job.c.revision == 1),
            )
            .order_by(job.c.job_id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # a person may have one done again just now
        )
        return [_read(row) for row in self._connection.execute(query)]

    def remove(self, job_id: int) -> None:
        """Forget a job with its deliveries, their attempts, commitments and signatures."""
        asked = sa.select(commitment.c.commitment_id).where(commitment.c.job_id == job_id)
        self._connection.execute(
            commitment_instance.delete().where(commitment_instance.c.commitment_id.in_(asked))
        )
        self._connection.execute(commitment.delete().where(commitment.c.job_id == job_id))
        own = sa.select(delivery.c.delivery_id).where(delivery.c.job_id == job_id)
        self._connection.execute(attempt.delete().where(attempt.c.delivery_id.in_(own)))
        self._connection.execute(delivery.delete().where(delivery.c.job_id == job_id))
        self._connection.execute(signature.delete().where(signature.c.job_id == job_id))
        # A job that contradicts this one stays flagged: it then points to itself.
        self._connection.execute(
            job.update().where(job.c.conflicts_with == job_id).values(conflicts_with=job.c.job_id)
        )
        self._connection.execute(job.delete().where(job.c.job_id == job_id))

    def digests(self) -> set[str]:
        """Every spool file that a row of any kind still names."""
        columns = (
            job.c.content_digest,
            job.c.prediction_digest,
            delivery.c.content_digest,
            hl7_message.c.content_digest,
        )
        named = sa.union(*(sa.select(column) for column in columns))
        return {digest for (digest,) in self._connection.execute(named) if digest}

    def settle(
        self,
        job_id: int,
        state: JobState,
        *,
        at: datetime,
        revision: int | None = None,
        bundle: str | None = None,
        prediction_digest: str | None = None,
        order_digest: str | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> bool:
        """Write how the job ended, if its state still allows it; False when somebody was faster.

        revision: of what was made; a host that slept may come with that of an earlier one.
        """
        still = [job.c.job_id == job_id, job.c.state.in_(_states_before(state))]
        if revision is not None:
            still.append(job.c.revision == revision)
        changed = self._connection.execute(
            job.update()
            .where(*still)
            .values(
                state=state.value,
                settled_at=at,
                bundle=bundle,
                prediction_digest=prediction_digest,
                order_digest=order_digest,
                error_code=error_code,
                error_message=error_message,
            )
        )
        return changed.rowcount == 1

    def take_up(self, job_id: int, *, run: int) -> int | None:
        """A new run of a job whose answer is owed still; its number.

        None where it is not owed any more, or was taken up by another since that run was read.
        """
        changed = self._connection.execute(
            job.update()
            .where(
                job.c.job_id == job_id,
                job.c.state == JobState.RECEIVED.value,
                job.c.run == run,
            )
            .values(run=run + 1)
        )
        return run + 1 if changed.rowcount == 1 else None

    def start_again(self, job_id: int) -> int | None:
        """Put a stopped job back to `received`; the number of its new run.

        None when its state does not allow it.
        """
        answered = {state.value for state in _ANSWERED}
        stopped = [each for each in _states_before(JobState.RECEIVED) if each not in answered]
        return self._start_again(job_id, stopped)

    def make_again(self, job_id: int) -> int | None:
        """Put a job that lacks results back to `received`; the number of its new run.

        None where it lacks none.
        """
        return self._start_again(
            job_id, [state.value for state in _ANSWERED], job.c.error_code == RESULTS_MISSING
        )

    def revise(self, job_id: int) -> int | None:
        """Put an answered job back to `received` in its next revision; the number of its new run.

        None when it is not answered.
        """
        return self._start_again(
            job_id, [state.value for state in _ANSWERED], revision=job.c.revision + 1
        )

    def note_signed(self, job_id: int, *, at: datetime) -> None:
        """Have a job be as old as the signature of its results."""
        self._connection.execute(job.update().where(job.c.job_id == job_id).values(settled_at=at))

    def withdraw(self, job_id: int, *, at: datetime) -> int:
        """Note that what was sent is taken back; the revision in which that is told."""
        return int(
            self._connection.execute(
                job.update()
                .where(job.c.job_id == job_id)
                .values(
                    state=JobState.WITHDRAWN.value,
                    revision=job.c.revision + 1,
                    settled_at=at,
                    error_code=None,
                    error_message=None,
                )
                .returning(job.c.revision)
            ).scalar_one()
        )

    def _start_again(
        self,
        job_id: int,
        allowed: list[str],
        *conditions: sa.ColumnElement[bool],
        **values: object,
    ) -> int | None:
        changed = self._connection.execute(
            job.update()
            .where(job.c.job_id == job_id, job.c.state.in_(allowed), *conditions)
            .values(
                state=JobState.RECEIVED.value,
                run=job.c.run + 1,
                settled_at=None,
                error_code=None,
                error_message=None,
                **values,
            )
        )
        if changed.rowcount != 1:
            return None
        return self._connection.scalar(sa.select(job.c.run).where(job.c.job_id == job_id))


def _has_signed_copy() -> sa.ColumnElement[bool]:
    """Of a delivery: it is sent no more."""
    copy = delivery.alias()
    signed = sa.select(copy.c.delivery_id).where(
        copy.c.job_id == delivery.c.job_id,  # by which they are found
        copy.c.signs == delivery.c.delivery_id,
    )
    return signed.correlate(delivery).exists()


def _states_before(state: JobState) -> list[str]:
    return [before.value for before, after in JOB_TRANSITIONS.items() if state in after]


def _read(row: sa.Row[tuple[object, ...]]) -> Job:
    values = dict(row._mapping)
    origin = Origin(
        calling_ae=values.pop("calling_ae"),
        called_ae=values.pop("called_ae"),
        peer=values.pop("peer"),
    )
    parsed = {"state": JobState(values["state"]), "priority": Priority(values["priority"])}
    return Job(origin=origin, **(values | parsed))
