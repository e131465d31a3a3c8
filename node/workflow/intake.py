"""Taking an instance over from its sender: durable first, then the success status."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial

from node.dicom.part10 import (
    DEFLATED_LITTLE,
    EXPLICIT_LITTLE,
    MAX_INFLATED_BYTES,
    check_storable,
    encode_part10,
    read_dataset,
    read_part10,
    source_digest,
)
from node.dicom.structure import is_whole
from node.dicom.study import PATIENT_ID, read_patient_id
from node.domain.delivery import Priority, ResultKind
from node.domain.errors import InputError
from node.domain.instance import Origin, ReceivedInstance
from node.store.received import Job
from node.workflow.identity import patient_digest
from node.workflow.naming import FIRST_REVISION
from node.workflow.ports import Clock, Level, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.precedence import take_earlier_along
from node.workflow.route import Arrival, Destination, Routing

NOTHING_AT_ONCE = Routing(rules=(), destinations={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is decided about an instance before it is processed."""

    priority: Priority = Priority.ROUTINE
    patient_digest: str | None = None
    keepers: tuple[Destination, ...] = ()
    """Who gets the ECG itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Accepts what peers hand over."""

    spool: ObjectStore
    work: UnitOfWork
    telemetry: Telemetry
    clock: Clock
    maximum_bytes: int = MAX_INFLATED_BYTES
    """Of a data set once it is inflated."""
    routing: Routing = NOTHING_AT_ONCE

    def accept(
        self,
        dataset_bytes: bytes,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        origin: Origin,
    ) -> None:
        """Keep one instance; when this returns, its bytes and its job survive kill -9.

        The same instance again changes nothing. Another content under a known SOP Instance UID is
        kept beside it and flagged, never processed.
        Raises MalformedInstance, UnsupportedInstance (nothing was kept: the sender still has it),
        StorageError.
        """
        check_storable(
            dataset_bytes,
            transfer_syntax_uid=transfer_syntax_uid,
            sop_instance_uid=sop_instance_uid,
            sop_class_uid=sop_class_uid,
        )
        content = encode_part10(
            dataset_bytes,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
        )
        # One cut short on its way is refused while the sender still has it.
        if transfer_syntax_uid == DEFLATED_LITTLE or not is_whole(
            dataset_bytes, explicit=transfer_syntax_uid == EXPLICIT_LITTLE
        ):  # deflated, or odd but perhaps readable: else it says why
            read_part10(content, maximum_bytes=self.maximum_bytes)
        instance = ReceivedInstance(
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            origin=origin,
            content_digest=self.spool.put(content),
            size_bytes=len(dataset_bytes),
            received_at=self.clock(),
            content=content,
        )
        verdict = self._judge(instance, dataset_bytes)
        job_id, message = self.work.together(partial(self._enter, instance, verdict))
        self.telemetry.event(
            message,
            level=Level.WARNING if message == CONFLICTING else Level.INFO,
            job_id=job_id,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
            size_bytes=instance.size_bytes,
        )

    def _judge(self, instance: ReceivedInstance, dataset_bytes: bytes) -> Verdict:
        """Costs nothing, and reads nothing, where no rule asks for it."""
        if not self.routing.decides_at_once:
            return Verdict()
        last = max(self.routing.last_tag, PATIENT_ID)
        dataset = lru_cache(maxsize=1)(
            partial(
                read_dataset,
                dataset_bytes,
                instance.transfer_syntax_uid,
                maximum_bytes=self.maximum_bytes,
                last=last,
            )
        )
        decided = self.routing.decide(
            Arrival(origin=instance.origin, sop_class_uid=instance.sop_class_uid, dataset=dataset)
        )
        patient_id = ""
        if self.routing.has_priorities:
            with suppress(InputError):  # the job will say so
                patient_id = read_patient_id(dataset())
        return Verdict(
            priority=decided.priority,
            patient_digest=patient_digest(patient_id),
            keepers=decided.keepers(instance.origin),
        )

    def _enter(
        self, instance: ReceivedInstance, verdict: Verdict, transaction: Transaction
    ) -> tuple[int, str]:
        earlier = transaction.jobs.of_instance(instance.sop_instance_uid)
        for job in earlier:
            if job.content_digest == instance.content_digest:
                return job.job_id, DUPLICATE
        # The first alone is compared in depth: however many contents come under one UID, the next
        # one costs the same, and others wait for this transaction.
        if earlier and self._is_same(earlier[0], instance):
            return earlier[0].job_id, DUPLICATE
        if earlier:
            first = earlier[0].job_id
            reason = f"job {first} holds another content under this SOP Instance UID"
            return transaction.jobs.add(instance, conflicts_with=first, error=reason), CONFLICTING
        job_id = transaction.jobs.add(
            instance, priority=verdict.priority, patient_digest=verdict.patient_digest
        )
        if verdict.patient_digest is not None:
            take_earlier_along(transaction, job_id)
        transaction.enqueue_job(job_id, run=0, priority=verdict.priority)
        for keeper in verdict.keepers:
            self._pass_on(transaction, job_id, instance, keeper)
        return job_id, ACCEPTED

    def _pass_on(
        self,
        transaction: Transaction,
        job_id: int,
        instance: ReceivedInstance,
        keeper: Destination,
    ) -> None:
        """Owe the ECG itself, whatever becomes of its job."""
        delivery_id = transaction.outbox.add(
            job_id=job_id,
            kind=ResultKind.ECG,
            identifier=instance.sop_instance_uid,
            sop_class_uid=instance.sop_class_uid,
            destination=keeper.name,
            destination_kind=keeper.kind,
            content_digest=instance.content_digest,
            revision=FIRST_REVISION,
            at=instance.received_at,
        )
        transaction.enqueue_delivery(delivery_id, run=1, destination=keeper.name, kind=keeper.kind)

    def _is_same(self, job: Job, instance: ReceivedInstance) -> bool:
        """Whether the job's bytes are this ECG in another encoding."""
        try:
            kept = source_digest(read_part10(self.spool.get(job.content_digest)))
            return kept == source_digest(read_part10(instance.content))
        except InputError:
            return False


ACCEPTED = "instance accepted"
DUPLICATE = "instance received again"
CONFLICTING = "instance kept aside: its SOP Instance UID is taken by another content"
