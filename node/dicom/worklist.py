"""Modality Worklist, as its SCU: asks a RIS for the orders that an ECG may answer.

Source: DICOM PS3.4 annex K.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.valuerep import MAX_VALUE_LEN, VR
from pynetdicom.association import Association

from node.dicom import dimse
from node.dicom.attribute import items_of, text_of
from node.dicom.character_set import UNICODE
from node.dicom.response_status import ResponseStatus, error_of, single
from node.dicom.scu import PROPOSED, StorageScu
from node.dicom.study import read_patient
from node.domain.code import Code
from node.domain.errors import (
    DeliveryError,
    MalformedInstance,
    Refused,
    TemporarilyRefused,
    Unanswered,
)
from node.domain.order import AskBy, Order, ScheduledOrder
from node.domain.study import Study

MOST_ITEMS: Final = 200
"""Of one answer. One accession number, or one patient, has a few."""
PENDING: Final = (0xFF00, 0xFF01)
RESPONSES: Final = (
    single(dimse.SUCCESS, "Success"),
    *(single(status, "Matches are continuing") for status in PENDING),
    ResponseStatus(
        first=0xA700,
        last=0xA7FF,
        meaning="Refused: Out of resources",
        error=TemporarilyRefused,
        message="the worklist is out of resources ({code})",
    ),
    single(
        0x0124,
        "Not authorized",
        Refused,
        "the worklist does not authorise this AE to ask ({code}); allow it there",
    ),
    ResponseStatus(
        first=0x0000,
        last=0xFFFF,
        meaning="Any other",
        error=Refused,
        message="the worklist could not answer the query ({code}); see its log",
    ),
)
"""What the status of a C-FIND means. Source: DICOM PS3.4 table K.4-1, PS3.7 annex C."""

KEYS: Final = ("AccessionNumber", "PatientID")
"""One of them is matched, by a single value."""
RETURNED: Final = (
    "AccessionNumber",
    "IssuerOfPatientID",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
)
"""Asked for beside the key, without a value. Source: DICOM PS3.4 table K.6-1."""
SEQUENCES: Final = ("RequestedProcedureCodeSequence", "ScheduledProcedureStepSequence")
"""Asked for likewise; a RIS that matches by steps wants to be asked for one."""


class WorklistScu:
    """Asks one RIS, over associations of its `StorageScu`."""

    def __init__(self, scu: StorageScu, ask_by: AskBy = AskBy.ACCESSION_NUMBER) -> None:
        self._scu = scu
        self._ask_by = ask_by

    def find(self, study: Study) -> tuple[ScheduledOrder, ...]:
        """The orders of the ECG's accession number or patient; none for one that names neither.

        Raises Unreachable, TemporarilyRefused, Refused, Unanswered.
        """
        query = build_query(study, self._ask_by)
        if query is None:
            return ()
        association = self._associate()
        try:
            found = tuple(map(self._read, self._answers(association, query)))
        except DeliveryError:
            association.abort()  # what is still to come of the answer is not wanted
            raise
        if association.is_established:
            association.release()
        return found

    def probe(self) -> str:
        """Where it is, when it takes an association; it is asked for nothing.

        Raises Unreachable, TemporarilyRefused, Refused.
        """
        self._associate().release()
        return self._scu.where

    def _associate(self) -> Association:
        return self._scu.associate(dimse.MODALITY_WORKLIST, *PROPOSED[dimse.MODALITY_WORKLIST])

    def _answers(self, association: Association, query: Dataset) -> Iterator[Dataset]:
        unanswered = "the worklist ended the association without answering the C-FIND"
        try:
            answers = association.send_c_find(query, dimse.MODALITY_WORKLIST)
        except RuntimeError as error:  # it has gone already
            raise Unanswered(unanswered) from error
        for number, (answer, item) in enumerate(answers, start=1):
            if "Status" not in answer:
                raise Unanswered(unanswered)
            refusal = error_of(int(answer.Status), RESPONSES)
            if refusal is not None:
                raise refusal
            if int(answer.Status) not in PENDING:
                return
            if number > MOST_ITEMS:
                raise Refused(
                    f"{self._scu.where} answers with more than {MOST_ITEMS} items: it may not "
                    "match by what it is asked for; set worklist.ask_by to the other key"
                )
            if item is None:
                raise self._unreadable()
            yield item

    def _read(self, item: Dataset) -> ScheduledOrder:
        try:
            codes = items_of(item, "RequestedProcedureCodeSequence")
            code = _code(codes[0]) if codes else None
            words = _value(item, "RequestedProcedureDescription")
            return ScheduledOrder(
                order=Order(
                    placer_order_number=_value(item, "PlacerOrderNumberImagingServiceRequest"),
                    filler_order_number=_value(item, "FillerOrderNumberImagingServiceRequest"),
                    accession_number=_value(item, "AccessionNumber"),
                    requested_procedure_id=_value(item, "RequestedProcedureID"),
                    procedure=code,
                    procedure_text=words or (code.meaning if code else ""),
                ),
                patient=read_patient(item),
                study_instance_uid=text_of(item, "StudyInstanceUID"),
            )
        except MalformedInstance as error:
            raise self._unreadable() from error

    def _unreadable(self) -> Refused:
        return Refused(f"{self._scu.where} answers with an item that cannot be read; see its log")


def _code(item: Dataset) -> Code | None:
    """None where it is not whole."""
    value, scheme, meaning = (
        _value(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
    )
    if not (value and scheme and meaning):
        return None
    return Code(value=value, scheme=scheme, meaning=meaning)


def _value(item: Dataset, keyword: str) -> str:
    """What may stand in a result; empty where there are several values, or one too long."""
    text = text_of(item, keyword)
    longest = MAX_VALUE_LEN[VR(dictionary_VR(tag_for_keyword(keyword) or 0))]
    return "" if "\\" in text or len(text) > longest else text


def build_query(study: Study, ask_by: AskBy) -> Dataset | None:
    """The identifier of the C-FIND; None where there is nothing to ask by.

    Wildcards in a value of the ECG would match others' orders: it is then not asked by.
    """
    found = list(zip(KEYS, (study.accession_number, study.patient.patient_id), strict=True))
    if ask_by is AskBy.PATIENT_ID:
        found.reverse()
    usable = ((key, value) for key, value in found if value and not set(value) & set("*?\\"))
    key, value = next(usable, ("", ""))
    if not key:
        return None
    query = Dataset()
    if not value.isascii():
        query.SpecificCharacterSet = UNICODE[0]
    for keyword in RETURNED:
        setattr(query, keyword, "")
    for keyword in SEQUENCES:
        setattr(query, keyword, [])
    setattr(query, key, value)
    step = Dataset()
    for keyword in ("Modality", "ScheduledStationAETitle", "ScheduledProcedureStepStartDate",
                    "ScheduledProcedureStepStartTime", "ScheduledProcedureStepID"):  # fmt: skip
        setattr(step, keyword, "")
    query.ScheduledProcedureStepSequence = [step]
    return query
