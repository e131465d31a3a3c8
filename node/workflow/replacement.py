"""What the results of a corrected job replace, where they were sent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pydicom import Dataset

from node.dicom.attribute import text_of
from node.dicom.filing import Filing
from node.dicom.part10 import read_part10
from node.dicom.reference import FiledInstance
from node.dicom.study import put_patient, read_patient, read_study
from node.domain.delivery import (
    ARRIVED,
    MESSAGES,
    Delivery,
    DeliveryState,
    ResultKind,
    ResultObject,
)
from node.domain.errors import Unanswered
from node.domain.identifiers import derived_control_id, derived_uuid
from node.fhir import withdrawal
from node.fhir.library import need_library
from node.fhir.withdrawal import report_number, withdraw_report
from node.hl7.withdrawal import filler_number, is_withdrawal, withdraw_oru
from node.workflow.ports import ObjectStore, Transaction

if TYPE_CHECKING:
    from node.store.received import Job
    from node.workflow.naming import Source

TAKES_BACK: Final = {
    ResultKind.ORU: is_withdrawal,
    ResultKind.FHIR: withdrawal.is_withdrawal,
}
_TAKEN: Final = {state.value for state in (*ARRIVED, DeliveryState.STORED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The results of earlier revisions of a job."""

    deliveries: Sequence[Delivery]
    """Those that may have arrived, the latest made first."""
    spool: ObjectStore

    def report_of(self, destinations: Collection[str]) -> FiledInstance | None:
        """The last report that one of them was sent; None where they were sent none.

        Raises StorageError, MalformedInstance (the spool has lost it).
        """
        for each in self.deliveries:
            if each.kind is ResultKind.REPORT and each.destination in destinations:
                return reference_of(each, self.spool)
        return None


def standing(deliveries: Sequence[Delivery], job: Job) -> list[Delivery]:
    """Those of a job that no later results stand for: none of another revision, no signed copy."""
    signed = {each.signs for each in deliveries}
    return [
        each for each in deliveries if each.delivery_id not in signed and not _is_earlier(each, job)
    ]


def _is_earlier(delivery: Delivery, job: Job) -> bool:
    """Whether it is of a revision that another follows; the ECG itself is of none."""
    return delivery.kind is not ResultKind.ECG and delivery.revision < job.revision


def reference_of(delivery: Delivery, spool: ObjectStore) -> FiledInstance:
    """The DICOM object of a delivery, by where it is filed.

    Raises StorageError, MalformedInstance (the spool has lost it).
    """
    made = read_part10(spool.get(delivery.content_digest))
    return FiledInstance(
        study_instance_uid=text_of(made, "StudyInstanceUID"),
        series_instance_uid=text_of(made, "SeriesInstanceUID"),
        sop_class_uid=delivery.sop_class_uid,
        sop_instance_uid=delivery.identifier,
    )


def filed_as(result: Dataset, source: Source) -> tuple[Source, Filing]:
    """Where a result that was sent is filed, and the ECG of the patient whom it is filed under.

    That is the ECG's, or one it was merged into. Raises MalformedInstance.
    """
    patient = read_patient(result)
    if patient.patient_id != source.study.patient.patient_id:
        dataset = put_patient(deepcopy(source.dataset), patient)
        source = replace(source, dataset=dataset, study=read_study(dataset))
    study_uid = text_of(result, "StudyInstanceUID")
    stated = text_of(result, "SpecificCharacterSet")
    filing = Filing(
        new_study_uid=None if study_uid == source.study.study_instance_uid else study_uid,
        character_set=tuple(stated.split("\\")) if stated else (),
    )
    return source, filing


def standing_messages(
    latest_first: Iterable[Delivery], spool: ObjectStore
) -> dict[tuple[str, str], Delivery]:
    """The last message by destination and number, but for those that were taken back."""
    last: dict[tuple[str, str], Delivery] = {}
    taken_back = set()
    for each in latest_first:
        if each.kind not in MESSAGES:
            continue
        content = spool.get(each.content_digest)
        key = each.destination, number_of(each.kind, content)
        takes_back = TAKES_BACK[each.kind]
        if last.setdefault(key, each) is each and takes_back(content):
            taken_back.add(key)
    return {key: each for key, each in last.items() if key not in taken_back}


def number_of(kind: ResultKind, content: bytes) -> str:
    """What the results that a message tells are known by: of ORU^R01 the filler number."""
    return report_number(content) if kind is ResultKind.FHIR else filler_number(content)


def take_back(sent: Delivery, spool: ObjectStore, revision: int) -> ResultObject:
    """The message of that revision that takes back an earlier one.

    Raises StorageError, ConfigurationError (the FHIR library is not installed any more).
    """
    names = ("withdrawal", sent.identifier, sent.destination, str(revision))
    if sent.kind is ResultKind.FHIR:
        need_library()
        identifier = derived_uuid(*names)
        content = withdraw_report(spool.get(sent.content_digest), identifier=identifier)
        return ResultObject(kind=ResultKind.FHIR, identifier=identifier, content=content)
    control_id = derived_control_id(*names)
    content = withdraw_oru(spool.get(sent.content_digest), control_id=control_id)
    return ResultObject(kind=ResultKind.ORU, identifier=control_id, content=content)


def may_be_there(delivery: Delivery, transaction: Transaction) -> bool:
    """Whether its destination has it, or may have it without having said so."""
    return delivery.under_way or any(
        tried["state"] in _TAKEN or tried["error_code"] == Unanswered.code
        for tried in transaction.outbox.attempts_of(delivery.delivery_id)
    )


def has_arrived(delivery: Delivery, transaction: Transaction) -> bool:
    """Whether its destination has acknowledged it, whatever became of it then."""
    tries = transaction.outbox.attempts_of(delivery.delivery_id)
    return any(tried["state"] in _TAKEN for tried in tries)


def replaced_by(job: Job, transaction: Transaction, spool: ObjectStore) -> Replaced:
    """What this revision of the job replaces; nothing where it is the first."""
    made = transaction.outbox.of_job(job.job_id)
    earlier = [each for each in made if _is_earlier(each, job) and may_be_there(each, transaction)]
    return Replaced(deliveries=earlier[::-1], spool=spool)
