"""What becomes of one instance that came with STOW-RS: the intake of C-STORE, in other words.

Source: DICOM PS3.18 §10.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydicom import Dataset

from node.dicom import dimse
from node.dicom.attribute import text_of
from node.dicom.part10 import (
    STUDY_INSTANCE_UID,
    Identity,
    read_dataset,
    read_identity,
    split_part10,
)
from node.dicom.service import Report, is_uid, report_refusal
from node.dicom.storage_service import (
    ANSWERS,
    INVALID_SOP_INSTANCE,
    SOP_CLASS_NOT_SUPPORTED,
    Accept,
)
from node.dicom.store_response import StoreOutcome
from node.domain.errors import InputError, MalformedInstance, UnsupportedInstance
from node.domain.instance import Origin

_TRANSFER_SYNTAX_NOT_SUPPORTED: Final = 0xC122
_OTHER_STUDY: Final = 0xA901
"""Source: DICOM PS3.18 table I.2-2; the last, of its range, is that of Azure's DICOM service."""
FAILURE_REASONS: Final[Mapping[int, str]] = {
    dimse.OUT_OF_RESOURCES: ANSWERS[dimse.OUT_OF_RESOURCES],
    dimse.CANNOT_UNDERSTAND: ANSWERS[dimse.CANNOT_UNDERSTAND],
    dimse.PROCESSING_FAILURE: ANSWERS[dimse.PROCESSING_FAILURE],
    INVALID_SOP_INSTANCE: ANSWERS[INVALID_SOP_INSTANCE],
    SOP_CLASS_NOT_SUPPORTED: "the SOP class is none of ECG waveforms; nothing was kept",
    _TRANSFER_SYNTAX_NOT_SUPPORTED: "the transfer syntax is not read; nothing was kept",
    _OTHER_STUDY: "it is not of the study that the request's address names; nothing was kept",
}
"""Every Failure Reason that is given, and when."""


class StowService:
    """Keeps instances; says "stored" only after `accept` returned."""

    def __init__(self, *, accept: Accept, maximum_bytes: int, report: Report) -> None:
        """maximum_bytes: of a data set once it is inflated."""
        self._accept = accept
        self._maximum_bytes = maximum_bytes
        self._report = report

    def store(self, content: bytes, *, study_instance_uid: str, origin: Origin) -> StoreOutcome:
        """What became of a PS3.10 file.

        study_instance_uid: the study it must belong to; empty: any.
        """
        identity = Identity(sop_class_uid="", sop_instance_uid="")
        try:
            identity, transfer_syntax_uid, dataset_bytes = split_part10(content)
            try:
                # Cath lab systems name another instance outside the data set than in it.
                identity = read_identity(dataset_bytes, transfer_syntax_uid)
            except UnsupportedInstance as error:
                return self._refused(identity, _TRANSFER_SYNTAX_NOT_SUPPORTED, error, origin)
            objection = _objection(identity)
            if objection is None and study_instance_uid:
                head = read_dataset(
                    dataset_bytes,
                    transfer_syntax_uid,
                    maximum_bytes=self._maximum_bytes,
                    last=STUDY_INSTANCE_UID,
                )
                objection = _objection_to_study(head, study_instance_uid)
            if objection is not None:
                return self._refused(identity, *objection, origin)
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
        report_refusal(
            self._report,
            "instance refused",
            origin=origin,
            status=reason,
            error=error,
            sop_class_uid=identity.sop_class_uid.encode("ascii", "replace"),
        )
        return StoreOutcome(
            sop_class_uid=identity.sop_class_uid[:64],
            sop_instance_uid=identity.sop_instance_uid[:64],
            failure_reason=reason,
        )


def _objection(identity: Identity) -> tuple[int, InputError] | None:
    """What is wrong with an instance before its data set is read whole."""
    if identity.sop_class_uid not in dimse.ECG_STORAGE:
        return SOP_CLASS_NOT_SUPPORTED, UnsupportedInstance(
            "the SOP class is none of ECG waveforms; send those only"
        )
    if not is_uid(identity.sop_instance_uid.encode("ascii", "replace")):
        return INVALID_SOP_INSTANCE, MalformedInstance(
            "the SOP Instance UID is missing or is no UID; check the sender"
        )
    return None


def _objection_to_study(head: Dataset, study_instance_uid: str) -> tuple[int, InputError] | None:
    if text_of(head, "StudyInstanceUID") != study_instance_uid:
        return _OTHER_STUDY, MalformedInstance(
            "the instance is of another study than the request's address; check the sender"
        )
    return None
