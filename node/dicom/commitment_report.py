"""What a PACS reports to a request for Storage Commitment, from bytes.

Source: DICOM PS3.4 J.3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.attribute import items_of, text_of
from node.dicom.part10 import read_dataset
from node.domain.commitment import CommitmentReport
from node.domain.errors import DeliveryError, MalformedInstance, Refused, TemporarilyRefused
from node.domain.identifiers import is_valid_uid
from node.domain.instance import Origin

WELL_KNOWN_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Storage Commitment Push Model SOP Instance."""
EVENT_TYPES: Final = (1, 2)
"""All committed; failures exist. Source: DICOM PS3.4 table J.3-2."""

TakeReport = Callable[[CommitmentReport, Origin], None]
"""Returns once the outcome is durable. Raises UnknownTransaction, StorageError."""

FAILURE_REASONS: Final[Mapping[int, tuple[type[DeliveryError], str]]] = {
    0x0110: (TemporarilyRefused, "the peer failed while it looked for the object"),
    0x0112: (TemporarilyRefused, "the peer does not have the object any more"),
    0x0213: (TemporarilyRefused, "the peer is out of resources"),
    0x0131: (TemporarilyRefused, "the peer used the transaction UID before"),
    0x0122: (Refused, "the peer does not commit itself to objects of this SOP class"),
    0x0119: (Refused, "the peer holds the object under another SOP class"),
}
"""By failure reason: does it help to send the object again? Source: DICOM PS3.3 C.14.1.1."""


def read_report(encoded: bytes, transfer_syntax_uid: str) -> CommitmentReport:
    """The event information of an N-EVENT-REPORT.

    An instance that is in both lists has failed.
    Raises MalformedInstance (no transaction UID, an item that names no instance, no data set).
    Source: DICOM PS3.4 table J.3-2.
    """
    dataset = read_dataset(encoded, transfer_syntax_uid)
    transaction_uid = text_of(dataset, "TransactionUID")
    if not is_valid_uid(transaction_uid):
        raise MalformedInstance("the commitment report names no transaction; see the peer's log")
    failed = {
        _instance_of(item): _failure_of(item) for item in items_of(dataset, "FailedSOPSequence")
    }
    named = {_instance_of(item) for item in items_of(dataset, "ReferencedSOPSequence")}
    return CommitmentReport(
        transaction_uid=transaction_uid, committed=frozenset(named - failed.keys()), failed=failed
    )


def _failure_of(item: Dataset) -> DeliveryError:
    """Why a peer does not commit itself to an instance, as an error for its delivery."""
    text = text_of(item, "FailureReason")
    reason = int(text) if text.isdecimal() else 0
    error, words = FAILURE_REASONS.get(
        reason, (TemporarilyRefused, "the peer does not commit itself to the object")
    )
    return error(f"{words} (0x{reason:04X}); see the peer's log")


def _instance_of(item: Dataset) -> str:
    uid = text_of(item, "ReferencedSOPInstanceUID")
    if not is_valid_uid(uid):
        raise MalformedInstance("the commitment report names no instance; see the peer's log")
    return uid
