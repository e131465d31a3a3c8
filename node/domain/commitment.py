"""Storage Commitment: a destination's word that it keeps what it stored, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from node.domain.errors import DeliveryError


class CommitmentState(Enum):
    """How far one request for commitment is. A request again is another one, with its own UID."""

    OWED = "owed"
    """To be made; or made and its answer not known, for which it is made again as it was."""
    AWAITED = "awaited"
    """The destination has taken it and owes its report."""
    REPORTED = "reported"
    """The report came, about every instance."""
    SILENT = "silent"
    """No report in time: another request took its place, or a person is waited for."""
    REFUSED = "refused"
    """The destination does not take it, or could not be asked for longer than its limit."""
    VOID = "void"
    """Nothing it is for waits for it any more."""


COMMITMENT_TRANSITIONS: dict[CommitmentState, frozenset[CommitmentState]] = {
    CommitmentState.OWED: frozenset(
        {
            CommitmentState.OWED,
            CommitmentState.AWAITED,
            CommitmentState.REPORTED,  # its report may be faster than our note that it was taken
            CommitmentState.REFUSED,
            CommitmentState.VOID,
        }
    ),
    CommitmentState.AWAITED: frozenset(
        {CommitmentState.REPORTED, CommitmentState.SILENT, CommitmentState.VOID}
    ),
    CommitmentState.SILENT: frozenset({CommitmentState.REPORTED}),
    CommitmentState.REFUSED: frozenset({CommitmentState.REPORTED}),
    CommitmentState.VOID: frozenset({CommitmentState.REPORTED}),
    CommitmentState.REPORTED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Commitment:
    """One request that a destination commit itself to results of one job."""

    commitment_id: int
    transaction_uid: str
    job_id: int
    destination: str
    number: int
    """1 for the first; counted since a person last set one of its results going."""
    state: CommitmentState
    attempts: int
    requested_at: datetime
    due_at: datetime | None
    """When it is made (OWED), or when its report is overdue (AWAITED)."""
    settled_at: datetime | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What a destination says to one request. Source: DICOM PS3.4 J.3.3."""

    transaction_uid: str
    committed: frozenset[str]
    """SOP Instance UIDs."""
    failed: Mapping[str, DeliveryError]
    """By SOP Instance UID; the error's kind says whether to send it again helps."""
