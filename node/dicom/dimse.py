"""SOP classes, transfer syntaxes and status codes: what is said on the wire, in one place."""

from __future__ import annotations

from typing import Final

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import _config

from node.dicom.response_status import ResponseStatus, single
from node.domain.errors import (
    CardioNodeError,
    MalformedInstance,
    OutOfSpace,
    OversizedInstance,
    Refused,
    StorageError,
    TemporarilyRefused,
    UnsupportedInstance,
)

# pynetdicom would otherwise format each PDU and data set, patient and all, for its debug log.
_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
# What is sent from a file goes as it stands there, instead of decoded and encoded again.
_config.STORE_SEND_CHUNKED_DATASET = True

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model."""
MODALITY_WORKLIST = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND."""
TWELVE_LEAD_ECG = "1.2.840.10008.5.1.4.1.1.9.1.1"
GENERAL_ECG = "1.2.840.10008.5.1.4.1.1.9.1.2"
AMBULATORY_ECG = "1.2.840.10008.5.1.4.1.1.9.1.3"
GENERAL_32_BIT_ECG = "1.2.840.10008.5.1.4.1.1.9.1.4"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
MULTI_FRAME_GRAYSCALE_BYTE_SC = "1.2.840.10008.5.1.4.1.1.7.2"
MULTI_FRAME_TRUE_COLOR_SC = "1.2.840.10008.5.1.4.1.1.7.4"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"

ECG_STORAGE = (TWELVE_LEAD_ECG, GENERAL_ECG, AMBULATORY_ECG, GENERAL_32_BIT_ECG)
"""What the node receives. Source: DICOM PS3.4 B.5."""

RESULT_STORAGE = (
    MULTI_FRAME_GRAYSCALE_BYTE_SC,
    MULTI_FRAME_TRUE_COLOR_SC,
    SECONDARY_CAPTURE,
    COMPREHENSIVE_3D_SR,
    ENHANCED_SR,
    COMPREHENSIVE_SR,
    ENCAPSULATED_PDF,
    KEY_OBJECT_SELECTION,
)
"""What the node sends."""

RECEIVED_TRANSFER_SYNTAXES = (
    str(ExplicitVRLittleEndian),
    str(ImplicitVRLittleEndian),
    str(DeflatedExplicitVRLittleEndian),
)
"""Big endian is not among them: its waveform words would be read wrongly without a word."""

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110
NOT_AUTHORISED = 0x0124

_STATUS: Final[tuple[tuple[type[CardioNodeError], int], ...]] = (
    (OutOfSpace, OUT_OF_RESOURCES),
    (StorageError, OUT_OF_RESOURCES),
    (OversizedInstance, OUT_OF_RESOURCES),
    (MalformedInstance, CANNOT_UNDERSTAND),
    (UnsupportedInstance, CANNOT_UNDERSTAND),
)


def status_of(error: BaseException) -> int:
    """The C-STORE status for what went wrong. Source: DICOM PS3.4 table B.2-1, PS3.7 annex C."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return PROCESSING_FAILURE


STORE_RESPONSES: Final = (
    single(SUCCESS, "Success"),
    single(0x0001, "Requested optional Attributes are not supported"),
    single(0x0107, "Attribute list error"),
    single(0x0111, "Duplicate SOP Instance"),
    single(0x0116, "Attribute Value out of range"),
    ResponseStatus(first=0xB000, last=0xBFFF, meaning="Warning"),
    ResponseStatus(
        first=0xA700,
        last=0xA7FF,
        meaning="Refused: Out of resources",
        error=TemporarilyRefused,
        message="the peer is out of resources ({code})",
    ),
    single(
        PROCESSING_FAILURE,
        "Processing failure",
        TemporarilyRefused,
        "the peer could not process the object ({code})",
    ),
    single(
        0x0213,
        "Resource limitation",
        TemporarilyRefused,
        "the peer could not process the object ({code})",
    ),
    single(
        NOT_AUTHORISED,
        "Not authorized",
        Refused,
        "the peer does not authorise this AE to store ({code}); allow it there",
    ),
    ResponseStatus(
        first=0xA900,
        last=0xA9FF,
        meaning="Error: Data Set does not match SOP Class",
        error=Refused,
        message="the peer does not understand the object ({code}); see the peer's log",
    ),
    ResponseStatus(
        first=0xC000,
        last=0xCFFF,
        meaning="Error: Cannot understand",
        error=Refused,
        message="the peer does not understand the object ({code}); see the peer's log",
    ),
    ResponseStatus(
        first=0x0000,
        last=0xFFFF,
        meaning="Any other",
        error=Refused,
        message="the peer refused the object ({code}); see the peer's log",
    ),
)
"""What a peer's C-STORE status means.

Warnings and "Duplicate SOP Instance" mean that it has the object: our UIDs follow from the content,
so what is there is what was sent. Source: DICOM PS3.4 table B.2-1, PS3.7 annex C.
"""
