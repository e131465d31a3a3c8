"""Jobs, result objects and their deliveries: what is owed to whom, and how far it got."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final


class ResultKind(Enum):
    """What a result is."""

    CINE = "cine"
    """Multi-frame secondary capture."""
    SUMMARY = "summary"
    """One page of numbers and pictures as secondary capture."""
    PDF = "pdf"
    """The same page as a document."""
    REPORT = "report"
    """Structured report, with numbers or with the reason why there are none."""
    ORU = "oru"
    """HL7 v2 ORU^R01."""
    FHIR = "fhir"
    """FHIR R4 transaction: a DiagnosticReport with its Observations."""
    ECG = "ecg"
    """The received instance itself, as it came."""
    REJECTION = "rejection"
    """Note that earlier results must not be used any more."""


ROUTED_RESULTS = frozenset(ResultKind) - {ResultKind.REJECTION}
"""What a rule may name; a note goes to those that have what it rejects."""
USUAL_RESULTS = ROUTED_RESULTS - {ResultKind.PDF, ResultKind.ECG}
"""What goes to a destination where no rule says otherwise."""


class Priority(Enum):
    """Whose turn it is: everything of one before anything of the next, as it came within each."""

    STAT = "stat"
    ROUTINE = "routine"
    LOW = "low"


class DestinationKind(Enum):
    """The protocol a destination speaks."""

    DICOM = "dicom"
    DICOMWEB = "dicomweb"
    HL7 = "hl7"
    FHIR = "fhir"


MESSAGES = frozenset({ResultKind.ORU, ResultKind.FHIR})
"""Results that are no DICOM objects: one tells of all, and what stood before is corrected by it."""
MESSAGE_PROTOCOLS = frozenset({DestinationKind.HL7, DestinationKind.FHIR})


SIGNED_RESULTS = MESSAGES | {ResultKind.REPORT}
"""What a person signs: the numbers. Pictures stay what they are, synthetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultObject:
    """One finished object, byte for byte as it is kept and sent."""

    kind: ResultKind
    identifier: str
    """SOP Instance UID, MSH-10, or the UUID of a transaction."""
    sop_class_uid: str = ""
    """Empty for HL7 and FHIR."""
    content: bytes = field(repr=False)
    """PS3.10 file, the ER7 message with CR segment ends, or the transaction as JSON."""


class JobState(Enum):
    """How far the work caused by one received instance is."""

    RECEIVED = "received"
    """Bytes and row are durable; the model has not answered yet."""
    COMPLETED = "completed"
    """Results are made and their deliveries are rows."""
    NO_RESULT = "no-result"
    """The quality gate refused the ECG; a report that says why is on its way."""
    FAILED = "failed"
    """No results can be made of these bytes; waits for a person, who sees the reason."""
    HELD = "held"
    """Its patient or its order is in doubt; waits for a person, who releases or rejects it."""
    CONFLICT = "conflict"
    """Same SOP Instance UID as an earlier instance, other content: kept, flagged, not processed."""
    CANCELLED = "cancelled"
    """A person stopped it."""
    WITHDRAWN = "withdrawn"
    """A person took back what was sent of it; its destinations are told."""


RESULTS_MISSING: Final = "results-missing"
"""The error code of an answered job of which a result could not be made; others were."""

JOB_TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.RECEIVED: frozenset(
        {
            JobState.COMPLETED,
            JobState.NO_RESULT,
            JobState.FAILED,
            JobState.HELD,
            JobState.CANCELLED,
        }
    ),
    # One that is held, failed or cancelled may be the correction of what was sent before.
    JobState.HELD: frozenset({JobState.RECEIVED, JobState.CANCELLED, JobState.WITHDRAWN}),
    JobState.FAILED: frozenset({JobState.RECEIVED, JobState.CANCELLED, JobState.WITHDRAWN}),
    JobState.CONFLICT: frozenset({JobState.CANCELLED}),
    JobState.CANCELLED: frozenset({JobState.RECEIVED, JobState.WITHDRAWN}),
    JobState.COMPLETED: frozenset({JobState.RECEIVED, JobState.WITHDRAWN}),
    JobState.NO_RESULT: frozenset({JobState.RECEIVED, JobState.WITHDRAWN}),
    JobState.WITHDRAWN: frozenset(),
}


class DeliveryState(Enum):
    """How far one result is on its way to one destination."""

    WAITING = "waiting"
    """Owed, but not before another destination has committed itself to what it refers to."""
    PENDING = "pending"
    """Owed; tried when due."""
    DELIVERED = "delivered"
    """The destination acknowledged it, and no more is asked of it."""
    STORED = "stored"
    """The destination acknowledged it and owes its commitment."""
    COMMITTED = "committed"
    """The destination has taken the responsibility for keeping it."""
    REFUSED = "refused"
    """The destination said never; waits for a person."""
    EXHAUSTED = "exhausted"
    """Tried, or its commitment asked for, up to the destination's limit; waits for a person."""
    CANCELLED = "cancelled"
    """A person stopped it."""


ARRIVED = frozenset({DeliveryState.DELIVERED, DeliveryState.COMMITTED})
"""Nothing is owed any more, because the destination has it."""

DELIVERY_TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.WAITING: frozenset(
        {DeliveryState.WAITING, DeliveryState.PENDING, DeliveryState.CANCELLED}
    ),
    DeliveryState.PENDING: frozenset(
        {
            DeliveryState.PENDING,
            DeliveryState.DELIVERED,
            DeliveryState.STORED,
            DeliveryState.REFUSED,
            DeliveryState.EXHAUSTED,
            DeliveryState.CANCELLED,
        }
    ),
    DeliveryState.STORED: frozenset(
        {
            DeliveryState.STORED,
            DeliveryState.COMMITTED,
            DeliveryState.PENDING,  # the commitment failed, or a person asks for it again
            DeliveryState.REFUSED,
            DeliveryState.EXHAUSTED,
            DeliveryState.CANCELLED,
        }
    ),
    DeliveryState.REFUSED: frozenset(
        {
            DeliveryState.PENDING,
            DeliveryState.CANCELLED,
            DeliveryState.COMMITTED,  # the report came late
        }
    ),
    DeliveryState.EXHAUSTED: frozenset(
        {
            DeliveryState.PENDING,
            DeliveryState.CANCELLED,
            DeliveryState.COMMITTED,  # the report came late
            DeliveryState.EXHAUSTED,
        }
    ),
    DeliveryState.CANCELLED: frozenset({DeliveryState.PENDING, DeliveryState.WAITING}),
    # A person has it sent again: the destination has lost it.
    DeliveryState.DELIVERED: frozenset({DeliveryState.PENDING, DeliveryState.WAITING}),
    DeliveryState.COMMITTED: frozenset({DeliveryState.PENDING, DeliveryState.WAITING}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One result owed to one destination."""

    delivery_id: int
    job_id: int
    kind: ResultKind
    identifier: str
    sop_class_uid: str
    destination: str
    destination_kind: DestinationKind
    content_digest: str
    revision: int
    """Of the job, when the result was made."""
    signs: int | None = None
    """Id of the delivery whose signed copy it is."""
    state: DeliveryState
    attempts: int
    under_way: bool
    """Whether an attempt was begun of which nothing is known yet."""
    owed_since: datetime
    """When it was made, or when a person last asked for it again."""
    due_at: datetime | None
    settled_at: datetime | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """One attempt at a delivery, or at its commitment."""

    attempt_id: int
    job_id: int
    delivery_id: int
    kind: ResultKind
    identifier: str
    destination: str
    destination_kind: DestinationKind
    started_at: datetime
    duration_ms: int
    state: DeliveryState
    """What it came to."""
    error_message: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOutcome:
    """What one attempt came to."""

    state: DeliveryState
    due_at: datetime | None = None
    error_code: str | None = None
    error_message: str | None = None
    """Without patient data."""
