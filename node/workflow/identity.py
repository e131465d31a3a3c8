"""Whose ECG it is: what leaves that in doubt is held until a person has looked at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.domain.identifiers import digest_of
from node.domain.study import Patient, Study
from node.workflow.ports import Transaction
from node.workflow.reconcile import difference

if TYPE_CHECKING:
    from node.store.received import Job

UNCERTAIN_PATIENT: Final = "uncertain-patient"
"""The error code of a held job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """Which ECGs are held."""

    holds_missing: bool = True
    """Without a Patient ID."""
    holds_conflict: bool = True
    """In a study of which an earlier ECG names another Patient ID, or whose Patient ID is that of
    somebody else to the RIS."""


def patient_digest(patient_id: str) -> str | None:
    """What tells the ECGs of one patient without naming them; None without a Patient ID."""
    return digest_of("patient", patient_id) if patient_id else None


def accession_digest(number: str) -> str | None:
    """What an ECG and its order are matched by without naming it; None without one."""
    return digest_of("accession", number) if number else None


def doubt_without_others(study: Study, policy: IdentityPolicy) -> str | None:
    """Why the ECG alone leaves its patient in doubt; None where it does not."""
    if policy.holds_missing and not study.patient.patient_id:
        return "the ECG has no Patient ID; release or reject the job"
    return None


def doubt_about(
    transaction: Transaction,
    job: Job,
    study: Study,
    policy: IdentityPolicy,
    known: Patient | None = None,
) -> str | None:
    """Note whose ECG it is; why that is in doubt, None where it is not or a person released it.

    known: the patient whom the RIS has under the ECG's own Patient ID.
    """
    digest = patient_digest(study.patient.patient_id)
    others = transaction.jobs.identify(
        job.job_id,
        study_instance_uid=study.study_instance_uid,
        patient_digest=digest,
        accession_digest=accession_digest(study.accession_number),
    )
    if job.released is not None:  # of its patient, or of its order, which comes after that
        return None
    if others and policy.holds_conflict:
        return (
            f"job {others[0]} has another Patient ID in the same study; find out which is right, "
            "then release or reject the job"
        )
    differs = difference(study.patient, known) if known is not None else ""
    if differs and policy.holds_conflict:
        return (
            f"the RIS has another {differs} for this Patient ID; find out which is right, then "
            "release or reject the job"
        )
    return doubt_without_others(study, policy)
