"""What becomes of one instance that came with STOW-RS: the intake of C-STORE, in other words.

Source: DICOM PS3.18 §10.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.dicom import dimse
from node.dicom import storage_service as dimse_storage
from node.dicom.part10 import Identity, read_identity, split_part10
from node.dicom.pdu import printable
from node.dicom.service import Report
from node.dicom.storage_service import Accept
from node.dicom.store_response import StoreOutcome
from node.domain.errors import CardioNodeError, MalformedInstance, UnsupportedInstance
from node.domain.identifiers import is_valid_uid
from node.domain.instance import Origin

_SOP_CLASS_NOT_SUPPORTED: Final = 0x0122
_TRANSFER_SYNTAX_NOT_SUPPORTED: Final = 0xC122
_INVALID_SOP_INSTANCE: Final = 0x0117
_OTHER_STUDY: Final = 0xA901
"""Source: DICOM PS3.18 table I.2-2; the last, of its range, is that of Azure's DICOM service."""
FAILURE_REASONS: Final[Mapping[int, str]] = {
    dimse.OUT_OF_RESOURCES: dimse_storage.ANSWERS[dimse.OUT_OF_RESOURCES],
    dimse.CANNOT_UNDERSTAND: dimse_storage.ANSWERS[dimse.CANNOT_UNDERSTAND],
    dimse.PROCESSING_FAILURE: dimse_storage.ANSWERS[dimse.PROCESSING_FAILURE],
    _INVALID_SOP_INSTANCE: dimse_storage.ANSWERS[_INVALID_SOP_INSTANCE],
    _SOP_CLASS_NOT_SUPPORTED: "the SOP class is none of ECG waveforms; nothing was kept",
    _TRANSFER_SYNTAX_NOT_SUPPORTED: "the transfer syntax is not read; nothing was kept",
    _OTHER_STUDY: "it is not of the study that the request's address names; nothing was kept",
}
"""Every Failure Reason that is given, and when."""


class StowService:
    """Keeps instances; says "stored" only after `accept` returned."""

    def __init__(self, *, accept: Accept, report: Report) -> None:
        self._accept = accept
        self._report = report

    def store(self, content: bytes, *, study_instance_uid: str, origin: Origin) -> StoreOutcome:
        """What became of a PS3.10 file.

        study_instance_uid: the study it must belong to; empty: any.
        """
        identity = Identity(sop_class_uid="", sop_instance_uid="")
        try:
            identity, transfer_syntax_uid, dataset_bytes = split_part10(content)
            objection = _illegibility(transfer_syntax_uid)
            if objection is None:
                # Cath lab systems name another instance outside the data set than in it.
                identity = read_identity(dataset_bytes, transfer_syntax_uid)
                objection = _objection(identity, study_instance_uid)
            if objection is not None:
                reason, error = objection
                return self._refused(identity, reason, error, origin)
            self._accept(
                dataset_bytes,
                sop_class_uid=identity.sop_class_uid,
                sop_instance_uid=identity.sop_instance_uid,
                transfer_syntax_uid=transfer_syntax_uid,
                origin=origin,
            )
        except Exception as failure:  # the instance's boundary: nothing may pass as stored
            return self._refused(identity, dimse.status_of(failure), failure, origin)
        return StoreOutcome(
            sop_class_uid=identity.sop_class_uid, sop_instance_uid=identity.sop_instance_uid
        )

    def _refused(
        self, identity: Identity, reason: int, error: Exception, origin: Origin
    ) -> StoreOutcome:
        known = error if isinstance(error, CardioNodeError) else None
        self._report(
            "instance refused",
            error=None if known else error,
            calling_ae=origin.calling_ae,
            called_ae=origin.called_ae,
            peer=origin.peer,
            sop_class_uid=printable(identity.sop_class_uid.encode("ascii", "replace")),
            error_code=known.code if known else "internal",
            reason=known.message if known else None,
            status=f"0x{reason:04X}",
        )
        return StoreOutcome(
            sop_class_uid=identity.sop_class_uid[:64],
            sop_instance_uid=identity.sop_instance_uid[:64],
            failure_reason=reason,
        )


def _illegibility(transfer_syntax_uid: str) -> tuple[int, CardioNodeError] | None:
    if transfer_syntax_uid not in dimse.RECEIVED_TRANSFER_SYNTAXES:
        return _TRANSFER_SYNTAX_NOT_SUPPORTED, UnsupportedInstance(
            "this transfer syntax is not read; send little endian, implicit, explicit or deflated"
        )
    return None


def _objection(identity: Identity, study_instance_uid: str) -> tuple[int, CardioNodeError] | None:
    """What is wrong with an instance before its data set is read whole."""
    if identity.sop_class_uid not in dimse.ECG_STORAGE:
        return _SOP_CLASS_NOT_SUPPORTED, UnsupportedInstance(
            "the SOP class is none of ECG waveforms; send those only"
        )
    if not is_valid_uid(identity.sop_instance_uid):
        return _INVALID_SOP_INSTANCE, MalformedInstance(
            "the SOP Instance UID is missing or is no UID; check the sender"
        )
    if study_instance_uid and identity.study_instance_uid != study_instance_uid:
        return _OTHER_STUDY, MalformedInstance(
            "the instance is of another study than the request's address; check the sender"
        )
    return None
