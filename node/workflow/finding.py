"""Jobs by what a person knows of an ECG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from node.workflow.identity import accession_digest, patient_digest
from node.workflow.ports import Transaction

if TYPE_CHECKING:
    from node.store.received import Job

FOUND_AT_MOST: Final = 100
_LONGEST_SOUGHT: Final = 128
_MOST_DIGITS: Final = 9
"""Of a number that every database holds."""


def find_jobs(transaction: Transaction, sought: str) -> Sequence[Job]:
    """Those of that Patient ID (or of one merged into it), accession number or UID, or number."""
    sought = sought.strip()
    if not sought or not sought.isprintable() or len(sought) > _LONGEST_SOUGHT:
        return []
    patient = patient_digest(sought) or ""
    standing = transaction.patients.find(patient)
    found = transaction.jobs.known_by(
        sought,
        patient_digest=patient if standing is None else standing.patient_digest,
        accession_digest=accession_digest(sought) or "",
        limit=FOUND_AT_MOST,
    )
    if found or not sought.isdecimal() or len(sought) > _MOST_DIGITS:
        return found
    job = transaction.jobs.get(int(sought))
    return [] if job is None else [job]
