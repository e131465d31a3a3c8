"""Everything that can go wrong, as one tree.

    CardioNodeError
    ├── InputError                 permanent   what came in cannot be used; its bytes are kept
    │   ├── MalformedInstance                  not DICOM, cut short, or contradicts itself
    │   ├── UnsupportedInstance                sound, but not a thing this node reads
    │   │   └── OversizedInstance              more than dicom.maximum_instance_mb
    │   ├── ConflictingInstance                same SOP Instance UID, other content
    │   ├── MalformedMessage                   an HL7 message that cannot be read
    │   ├── UnknownTransaction                 a commitment report nobody here asked for
    │   └── UnusableData                       a recording, table, split or checkpoint for research
    ├── ConfigurationError         permanent   the administrator has to change a setting
    ├── NotPossible                permanent   what a person asks for, the job does not allow
    ├── NotAllowed                 permanent   who asks has not shown that they may
    ├── BundleError                permanent   a model bundle that must not be served
    ├── PredictionError            permanent   the model gave something that is not an answer
    ├── InvalidResult              permanent   a finished object breaks the standard: it is held
    ├── DeviceError                transient   a runtime or its device is missing or has failed
    ├── Interrupted                transient   the node stops; work goes on at the next start
    ├── StorageError               transient   spool or database did not take the bytes
    │   ├── OutOfSpace
    │   └── Overtaken                      another host has just added the same: again
    └── DeliveryError              by kind     a result did not arrive
        ├── Unreachable            transient   nobody answered: nothing was delivered
        ├── Unanswered             ambiguous   sent, no answer: resend the same identifiers
        ├── TemporarilyRefused     transient   the peer said "not now"
        │   └── Unavailable                    said of no result: it serves nobody now
        └── Refused                permanent   the peer said "never": waits for a person

A message says what happened and what to do, and never holds patient data.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Kind(Enum):
    """What to do next: retries are decided on this, never on the text."""

    TRANSIENT = "transient"
    """Nothing happened; back off and try again."""
    AMBIGUOUS = "ambiguous"
    """It may have happened; try again with the same identifiers."""
    PERMANENT = "permanent"
    """It cannot heal by itself; stop and wait for a person."""


class CardioNodeError(Exception):
    """The root. `code` is stable and machine-readable, `kind` decides about retries."""

    code: ClassVar[str] = "error"
    kind: ClassVar[Kind] = Kind.PERMANENT

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InputError(CardioNodeError):
    code = "input"


class MalformedInstance(InputError):
    code = "malformed-instance"


class UnsupportedInstance(InputError):
    code = "unsupported-instance"


class OversizedInstance(UnsupportedInstance):
    code = "oversized-instance"


class ConflictingInstance(InputError):
    code = "conflicting-instance"


class MalformedMessage(InputError):
    code = "malformed-message"


class UnknownTransaction(InputError):
    code = "unknown-transaction"


class UnusableData(InputError):
    code = "unusable-data"


class ConfigurationError(CardioNodeError):
    code = "configuration"


class BundleError(CardioNodeError):
    code = "bundle"


class PredictionError(CardioNodeError):
    code = "prediction"


class InvalidResult(CardioNodeError):
    code = "invalid-result"


class DeviceError(CardioNodeError):
    code = "device"
    kind = Kind.TRANSIENT


class Interrupted(CardioNodeError):
    code = "interrupted"
    kind = Kind.TRANSIENT


class StorageError(CardioNodeError):
    code = "storage"
    kind = Kind.TRANSIENT


class OutOfSpace(StorageError):
    code = "out-of-space"


class Overtaken(StorageError):
    code = "overtaken"


class NotPossible(CardioNodeError):
    """What a person asks for, the job or its deliveries do not allow."""

    code = "not-possible"


class NotAllowed(CardioNodeError):
    """Who asks has not shown that they may. The message does not say which part was wrong."""

    code = "not-allowed"


class DeliveryError(CardioNodeError):
    code = "delivery"


class Unreachable(DeliveryError):
    code = "unreachable"
    kind = Kind.TRANSIENT


class Unanswered(DeliveryError):
    code = "unanswered"
    kind = Kind.AMBIGUOUS


class TemporarilyRefused(DeliveryError):
    code = "temporarily-refused"
    kind = Kind.TRANSIENT

    def __init__(self, message: str, *, retry_after_s: float = 0.0) -> None:
        """retry_after_s: how long the peer wishes not to be asked again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(TemporarilyRefused):
    code = "unavailable"


class Refused(DeliveryError):
    code = "refused"
    kind = Kind.PERMANENT
