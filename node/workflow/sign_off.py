"""A person signs the results of an ECG: who has them is sent the same numbers as final."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.dicom.part10 import read_part10
from node.dicom.sign_off import sign_report
from node.dicom.template import Templates
from node.dicom.validation import check_results
from node.domain.audit import Action, Actor
from node.domain.delivery import (
    MESSAGES,
    RESULTS_MISSING,
    SIGNED_RESULTS,
    Delivery,
    DeliveryState,
    JobState,
    ResultKind,
    ResultObject,
)
from node.domain.errors import ConfigurationError, NotPossible
from node.domain.identifiers import derived_control_id, derived_uid, derived_uuid
from node.domain.user import Signature
from node.fhir import sign_off as fhir
from node.fhir.library import need_library
from node.hl7.sign_off import sign_oru
from node.workflow.accounts import Accounts
from node.workflow.answer import read_source
from node.workflow.intervene import cancel_delivery
from node.workflow.naming import Source
from node.workflow.ports import Clock, ObjectStore, Telemetry, Transaction, UnitOfWork
from node.workflow.replacement import (
    TAKES_BACK,
    filed_as,
    has_arrived,
    may_be_there,
    reference_of,
    standing,
)
from node.workflow.waiting import release_waiting

if TYPE_CHECKING:
    from node.store.received import Job

_STOPPED: Final = (DeliveryState.REFUSED, DeliveryState.EXHAUSTED, DeliveryState.CANCELLED)
_UNSENT: Final = (DeliveryState.PENDING, DeliveryState.WAITING)
_TRIES: Final = 3
"""Results may be sent while their copies are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOff:
    """Sends each destination a signed copy of the report or message that it was sent."""

    peer: str
    """From where the person signs, as an actor's."""
    work: UnitOfWork
    spool: ObjectStore
    accounts: Accounts
    organization: str
    """For which people sign."""
    templates: Templates
    telemetry: Telemetry
    clock: Clock
    after: Mapping[str, str]
    """Destinations whose deliveries wait, each with the one whose commitment they wait for."""

    def sign(self, job_id: int, *, revision: int, user_name: str, password: str) -> str:
        """Have the report and the messages of a job say that this person answers for them.

        What has not left unsigned does not leave any more. revision: of the results that the person
        has reviewed.
        Says what it did. Raises NotAllowed, NotPossible, StorageError, InvalidResult,
        ConfigurationError (nobody has said for which organization; the FHIR library is gone).
        """
        if not self.organization:
            raise ConfigurationError(
                "a signature names the organization that it is given for: set sign_off.organization"
            )
        user = self.accounts.authenticate(user_name, password)
        if not user.person_name:
            raise NotPossible(f"user {user_name!r} has no name to sign results by")
        signature = Signature(
            user_name=user.name,
            person_name=user.person_name,
            organization=self.organization,
            signed_at=self.clock(),
        )
        for _ in range(_TRIES):
            with self.work.begin() as transaction:
                seen = _look(transaction, job_id)
            self._check(seen.job, revision)
            signed = self._signed(seen, signature)
            with self.work.begin() as transaction:
                transaction.jobs.lock(job_id)
                if _look(transaction, job_id) == seen:
                    self._enter(transaction, seen, signed, signature)
                    who = signature.readable_name
                    said = f"{len(signed)} results are signed by {who} and sent as final"
                    by = Actor(name=user.name, peer=self.peer)
                    transaction.audit.note(
                        by, Action.SIGNED, at=signature.signed_at, job_id=job_id, said=said
                    )
                    break
        else:
            raise NotPossible(f"results of job {job_id} are being sent at this moment; try again")
        self.telemetry.event(
            "results signed by a person", job_id=job_id, user=user.name, count=len(signed)
        )
        return said

    def _check(self, job: Job, revision: int) -> None:
        """Raises NotPossible."""
        if job.revision != revision:
            raise NotPossible(f"job {job.job_id} has other results by now; review them first")
        if job.state is not JobState.COMPLETED:
            raise NotPossible(f"job {job.job_id} has no results to sign: {job.state.value}")
        if job.error_code == RESULTS_MISSING or job.prediction_digest is None:
            raise NotPossible(f"results of job {job.job_id} are missing; retry it first")
        described = json.loads(self.spool.get(job.prediction_digest))
        if described["model"]["simulated"]:
            raise NotPossible(
                "the model was trained on simulated data: its results are not for clinical use, "
                "and cannot be signed"
            )

    def _signed(self, seen: _Seen, signature: Signature) -> list[tuple[Delivery, ResultObject]]:
        """Each delivery that is signed now, with its signed copy. Raises NotPossible."""
        job = seen.job
        unsigned = [
            each
            for each in seen.made
            if each.kind in SIGNED_RESULTS
            and each.signs is None
            and (each.state not in _STOPPED or each.delivery_id in seen.arrived)
            and not self._takes_back(each)
        ]
        if not unsigned:
            raise NotPossible(f"nothing of job {job.job_id} that was not signed is to be signed")
        source = read_source(self.spool.get(job.content_digest))
        reports = [
            (each, self._report(each, seen, source, signature))
            for each in unsigned
            if each.kind is ResultKind.REPORT
        ]
        named = {each.identifier: signed.identifier for each, signed in reports}
        messages = [
            (each, self._message(each, signature, named))
            for each in unsigned
            if each.kind in MESSAGES
        ]
        return reports + messages

    def _takes_back(self, delivery: Delivery) -> bool:
        """Whether it is a message that takes back one of an earlier revision."""
        return delivery.kind in MESSAGES and TAKES_BACK[delivery.kind](
            self.spool.get(delivery.content_digest)
        )

    def _report(
        self,
        unsigned: Delivery,
        seen: _Seen,
        source: Source,
        signature: Signature,
    ) -> ResultObject:
        """Raises InvalidResult: nothing that breaks the standard leaves."""
        names = (*_names(unsigned, signature), self.templates.version)
        uid = derived_uid("instance", *names)
        sent = self.spool.get(unsigned.content_digest)
        content = sign_report(
            sent,
            signature,
            predecessor=(
                reference_of(unsigned, self.spool) if unsigned.identifier in seen.there else None
            ),
            sop_instance_uid=uid,
            series_instance_uid=derived_uid("series", *names),
            templates=self.templates,
        )
        signed = ResultObject(
            kind=ResultKind.REPORT,
            identifier=uid,
            sop_class_uid=unsigned.sop_class_uid,
            content=content,
        )
        source, filing = filed_as(read_part10(sent), source)
        beside = [
            reference_of(each, self.spool)
            for each in seen.made
            if each.destination == unsigned.destination and each.kind not in MESSAGES
        ]
        check_results([signed], source.dataset, source.study, filing, sent_before=beside)
        return signed

    def _message(
        self, unsigned: Delivery, signature: Signature, reports: Mapping[str, str]
    ) -> ResultObject:
        names = (*_names(unsigned, signature), unsigned.destination)
        sent = self.spool.get(unsigned.content_digest)
        if unsigned.kind is ResultKind.FHIR:
            need_library()
            identifier = derived_uuid(*names)
            content = fhir.sign_report(
                sent, identifier=identifier, signature=signature, reports=reports
            )
            return ResultObject(kind=ResultKind.FHIR, identifier=identifier, content=content)
        control_id = derived_control_id(*names)
        content = sign_oru(sent, control_id=control_id, signature=signature, reports=reports)
        return ResultObject(kind=ResultKind.ORU, identifier=control_id, content=content)

    def _enter(
        self,
        transaction: Transaction,
        seen: _Seen,
        signed: Sequence[tuple[Delivery, ResultObject]],
        signature: Signature,
    ) -> None:
        """Owe the copies, and no more what they are copies of: it would make them preliminary."""
        job, at = seen.job, signature.signed_at
        destinations = {each.destination for each in seen.made}
        for unsigned, copy in signed:
            if unsigned.state in _UNSENT:
                cancel_delivery(transaction, unsigned, at)
            waits = self.after.get(unsigned.destination) in destinations
            delivery_id = transaction.outbox.add(
                job_id=job.job_id,
                kind=copy.kind,
                identifier=copy.identifier,
                sop_class_uid=copy.sop_class_uid,
                destination=unsigned.destination,
                destination_kind=unsigned.destination_kind,
                content_digest=self.spool.put(copy.content),
                revision=job.revision,
                at=at,
                waits=waits,
                signs=unsigned.delivery_id,
            )
            if not waits:
                transaction.enqueue_delivery(
                    delivery_id,
                    run=1,
                    destination=unsigned.destination,
                    kind=unsigned.destination_kind,
                )
        transaction.users.sign(job.job_id, signature, revision=job.revision)
        transaction.jobs.note_signed(job.job_id, at=at)
        release_waiting(transaction, job.job_id, after=self.after, at=at)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A job and its results as they were when they were looked at."""

    job: Job
    made: Sequence[Delivery]
    """Those that stand."""
    there: frozenset[str]
    """Identifiers of what some destination has, or may have: a copy is one for all of them."""
    arrived: frozenset[int]
    """Ids of what arrived, whatever became of it when it was sent again."""


def _look(transaction: Transaction, job_id: int) -> _Seen:
    """Raises NotPossible."""
    job = transaction.jobs.get(job_id)
    if job is None:
        raise NotPossible(f"there is no job {job_id}; `cardionode jobs list` shows them")
    made = standing(transaction.outbox.of_job(job_id), job)
    there = frozenset(each.identifier for each in made if may_be_there(each, transaction))
    arrived = frozenset(each.delivery_id for each in made if has_arrived(each, transaction))
    return _Seen(job=job, made=made, there=there, arrived=arrived)


def _names(unsigned: Delivery, signature: Signature) -> tuple[str, ...]:
    """What the identity of a signed copy follows from."""
    return (
        "signed",
        unsigned.identifier,
        signature.user_name,
        signature.person_name,
        signature.organization,
        signature.signed_at.isoformat(),
    )
