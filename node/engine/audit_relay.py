"""Tells a hospital's audit repository what was done: in order, and again where it may be lost.

Of several hosts one does. What was done before there was a repository is not told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from node.atna.audit_message import (
    Outcome,
    Reporter,
    Subject,
    Transfer,
    activity,
    of_entry,
    of_transfer,
)
from node.dicom.part10 import read_part10
from node.dicom.study import read_study
from node.domain.audit import AuditEntry
from node.domain.delivery import ARRIVED, DeliveryState, DestinationKind
from node.domain.errors import CardioNodeError, DeliveryError, StorageError
from node.domain.host import speaks_for_all
from node.store.received import Job
from node.store.relay import Stream
from node.workflow.ports import Clock, Level, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.retry import RetryPolicy

LOOK_EVERY_S: Final = 5.0
SETTLED_AFTER_S: Final = 10.0
"""Numbers are given before they are committed: what is seen that long ago, all before it is."""
_AT_ONCE: Final = 100
_SENT: Final = ARRIVED | {DeliveryState.STORED}
_NOT_SENT: Final = frozenset({DeliveryState.REFUSED, DeliveryState.EXHAUSTED})
_INSTANCES: Final = frozenset({DestinationKind.DICOM, DestinationKind.DICOMWEB})
_STOPS_WITHIN_S: Final = 2.0
_PATIENT: Final = 12
"""Times that objects may not be had, before what they would say is left out."""
_BACK_OFF: Final = RetryPolicy(initial_s=LOOK_EVERY_S, maximum_s=300.0)

Told = tuple[datetime, bytes]


class Repository(Protocol):
    """Takes audit messages. Raises DeliveryError."""

    @property
    def where(self) -> str: ...

    def send(self, messages: Sequence[Told], *, within_s: float | None = None) -> None: ...


@dataclass(kw_only=True)
class AuditRelay:
    """`look` is done every LOOK_EVERY_S by a thread of its own, less often where it fails."""

    repository: Repository
    reporter: Reporter
    executor_id: str
    addresses: Mapping[str, str]
    """Of destinations, by name."""
    ae_titles: Mapping[str, str]
    """Of those that have one."""
    work: UnitOfWork
    spool: ObjectStore
    telemetry: Telemetry
    clock: Clock
    steady_s: Callable[[], float] = time.monotonic
    problem: str = field(default="", init=False)
    """Why the repository is not told; empty where it is, or another host does."""
    _failures: int = field(default=0, init=False)
    _unread: int = field(default=0, init=False)
    """How often objects could not be had, in a row."""
    _has_begun: bool = field(default=False, init=False)
    _seen: deque[tuple[float, dict[Stream, int]]] = field(default_factory=deque, init=False)
    """When which numbers were the last, the oldest first."""
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._keep_looking, name="audit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell that the node stops, where the repository took messages lately; in a few seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOPS_WITHIN_S)
        if self._has_begun and not self.problem:
            self._tell_activity(has_started=False, within_s=_STOPS_WITHIN_S)

    def look(self) -> None:
        """Tell what there is. Raises StorageError."""
        for stream in Stream:
            self._begin(stream)
        if not self._has_begun:
            self._has_begun = self._tell_activity(has_started=True)
        for stream in Stream:
            while self._has_begun and not self._stopping.is_set() and self._tell_some(stream):
                pass

    def _tell_activity(self, *, has_started: bool, within_s: float | None = None) -> bool:
        at = self.clock()
        message = activity(self.reporter, has_started=has_started, at=at)
        return self._send([(at, message)], within_s=within_s)

    def _begin(self, stream: Stream) -> None:
        """What is done from now on is told, however long the repository is away."""
        with self.work.look() as transaction:
            settled = self._settled(transaction)
            if settled is None or transaction.relay.position(stream) is not None:
                return
            if not self._speaks(transaction):
                return
        with self.work.begin() as transaction:
            transaction.relay.begin(stream, settled[stream])

    def _tell_some(self, stream: Stream) -> bool:
        """Whether there may be more."""
        with self.work.look() as transaction:
            settled = self._settled(transaction)
            if not self._speaks(transaction):
                self.problem, self._failures = "", 0  # another's
                return False
            before = transaction.relay.position(stream)
            if settled is None or before is None:
                return False
            numbers = transaction.relay.numbers(
                stream, after=before, to=settled[stream], limit=_AT_ONCE
            )
            found = [self._of(transaction, stream, number) for number in numbers]
        messages = [self._message(*each) for each in found if each is not None]
        self._unread = 0
        told = [each for each in messages if each is not None]
        if not numbers or (told and not self._send(told)):
            return False
        with self.work.begin() as transaction:
            return transaction.relay.move(stream, before=before, to=numbers[-1])

    def _speaks(self, transaction: Transaction) -> bool:
        return speaks_for_all(transaction.hosts.all(), self.executor_id)

    def _settled(self, transaction: Transaction) -> dict[Stream, int] | None:
        """The last number of each that no smaller one can follow; None while none is known."""
        now_s = self.steady_s()
        if not self._seen or now_s - self._seen[-1][0] >= LOOK_EVERY_S:
            self._seen.append((now_s, transaction.relay.newest()))
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= SETTLED_AFTER_S:
            self._seen.popleft()
        at_s, numbers = self._seen[0]
        return numbers if now_s - at_s >= SETTLED_AFTER_S else None

    def _of(
        self, transaction: Transaction, stream: Stream, number: int
    ) -> tuple[AuditEntry | Transfer, Job | None] | None:
        """What was done, and for which job; None where no message is for it."""
        if stream is Stream.ENTRIES:
            entry = transaction.audit.get(number)
            if entry is None:
                return None
            return entry, None if entry.job_id is None else transaction.jobs.get(entry.job_id)
        if stream is Stream.JOBS:
            job = transaction.jobs.get(number)
            return None if job is None else (_received(job), job)
        return self._sent(transaction, number)

    def _sent(self, transaction: Transaction, number: int) -> tuple[Transfer, Job | None] | None:
        attempt = transaction.relay.attempt(number)
        if attempt is None or attempt.state not in _SENT | _NOT_SENT:
            return None
        delivery = transaction.outbox.get(attempt.delivery_id)
        if delivery is None or delivery.destination_kind not in _INSTANCES:
            return None
        job = transaction.jobs.get(delivery.job_id)
        name = delivery.destination
        transfer = Transfer(
            at=attempt.ended_at,
            sop_class_uid=delivery.sop_class_uid,
            source=job.origin.called_ae if job is not None else self.reporter.source_id,
            source_address="",
            destination=self.ae_titles.get(name, name),
            destination_address=self.addresses.get(name, name),
            outcome=Outcome.SUCCESS if attempt.state in _SENT else Outcome.SERIOUS_FAILURE,
            is_new_there=True,
        )
        return transfer, job

    def _message(self, done: AuditEntry | Transfer, job: Job | None) -> Told | None:
        """Raises StorageError while its ECG cannot be had."""
        subject = self._subject(job)
        if isinstance(done, Transfer):
            return done.at, of_transfer(self.reporter, done, subject)
        message = of_entry(self.reporter, done, subject)
        return None if message is None else (done.at, message)

    def _subject(self, job: Job | None) -> Subject | None:
        """As the ECG states it; None where it cannot be read, or is gone for minutes.

        Raises StorageError: what keeps objects may be away.
        """
        if job is None:
            return None
        try:
            content = self.spool.get(job.content_digest)
        except StorageError:
            self._unread += 1
            if self._unread <= _PATIENT:
                raise
            return None
        try:
            study = read_study(read_part10(content))
        except CardioNodeError:
            return None
        return Subject(
            study_instance_uid=study.study_instance_uid,
            patient_id=study.patient.patient_id,
            sop_class_uid=job.sop_class_uid,
        )

    def _send(self, messages: Sequence[Told], *, within_s: float | None = None) -> bool:
        try:
            self.repository.send(messages, within_s=within_s)
        except DeliveryError as error:
            self._failures += 1
            self.problem = error.message
            self.telemetry.event(
                "audit messages not taken",
                level=Level.WARNING,
                address=self.repository.where,
                error_code=error.code,
                reason=error.message,
            )
            return False
        self._failures, self.problem = 0, ""
        self.telemetry.event(
            "audit messages told", address=self.repository.where, count=len(messages)
        )
        return True

    def _keep_looking(self) -> None:
        while not self._stopping.wait(max(LOOK_EVERY_S, _BACK_OFF.wait_s(self._failures, 0.0))):
            try:
                self.look()
            except Exception as error:  # the thread's boundary: it looks again
                self._failures += 1
                self.problem = "what was done cannot be read for the audit repository: see the log"
                self.telemetry.event("audit not looked at", level=Level.ERROR, error=error)


def _received(job: Job) -> Transfer:
    return Transfer(
        at=job.received_at,
        sop_class_uid=job.sop_class_uid,
        source=job.origin.calling_ae,
        source_address=job.origin.peer,
        destination=job.origin.called_ae,
        destination_address="",
        outcome=Outcome.SUCCESS,
        is_new_there=True,
    )
