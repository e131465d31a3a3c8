"""SOP classes, transfer syntaxes and status codes: what is said on the wire, in one place."""

from __future__ import annotations

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import _config

from node.domain.errors import (
    CardioNodeError,
    DeliveryError,
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

_STATUS: tuple[tuple[type[CardioNodeError], int], ...] = (
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


def error_of(status: int) -> DeliveryError | None:
    """What a peer's C-STORE status means for a delivery; None when the peer has the object.

    Warnings (0x0107, 0x0116, 0xBxxx) and "duplicate SOP instance" (0x0111) mean it has: our UIDs
    follow from the content, so what is there is what was sent.
    Source: DICOM PS3.4 table B.2-1, PS3.7 annex C.
    """
    if status in (SUCCESS, 0x0001, 0x0107, 0x0111, 0x0116) or 0xB000 <= status <= 0xBFFF:
        return None
    code = f"0x{status:04X}"
    if 0xA700 <= status <= 0xA7FF:
        return TemporarilyRefused(f"the peer is out of resources ({code})")
    if status in (PROCESSING_FAILURE, 0x0213):
        return TemporarilyRefused(f"the peer could not process the object ({code})")
    if status == NOT_AUTHORISED:
        return Refused(f"the peer does not authorise this AE to store ({code}); allow it there")
    if 0xA900 <= status <= 0xA9FF or 0xC000 <= status <= 0xCFFF:
        return Refused(f"the peer does not understand the object ({code}); see the peer's log")
    return Refused(f"the peer refused the object ({code}); see the peer's log")
