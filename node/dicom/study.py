"""The patient and study of an instance, as its results repeat them."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from typing import Final

from pydicom.dataset import Dataset

from node.dicom.attribute import items_of, text_of
from node.domain.errors import MalformedInstance
from node.domain.identifiers import derived_uid
from node.domain.study import Patient, Study

# Begins with a digit: results are filed under it, and ".." would be another folder.
_WIRE_SAFE_UID: Final = re.compile(r"[0-9][0-9.]{0,63}")
PATIENT_ID: Final = 0x00100020
_DATE: Final = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_TIME: Final = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?")
_OFFSET: Final = re.compile(r"([+-])(\d\d)(\d\d)")
_DATE_TIME: Final = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?")


def read_study(dataset: Dataset) -> Study:
    """Identity, study and time of an ECG instance.

    UIDs are kept as stated when they are digits and dots, even where PS3.5 §9.1 forbids them
    (an empty component, a dot at the end): the archive filed the ECG under them. A study or
    series UID that is absent or holds anything else is replaced by one derived from the instance.
    Text is decoded by the object's character set.
    Raises MalformedInstance (no usable SOP Instance UID; no date of acquisition, content or study).
    Source: DICOM PS3.3 C.7.1.1, C.7.2.1, C.7.3.1, C.10.8.
    """
    sop_instance_uid = text_of(dataset, "SOPInstanceUID")
    if not _WIRE_SAFE_UID.fullmatch(sop_instance_uid):
        raise MalformedInstance("the SOP Instance UID is absent or not a UID; check the sender")
    performed_at = acquisition_time(dataset)
    if performed_at is None:
        raise MalformedInstance("no date of acquisition, content or study; check the sender")
    return Study(
        patient=read_patient(dataset),
        study_instance_uid=_usable_uid(dataset, "StudyInstanceUID", sop_instance_uid),
        series_instance_uid=_usable_uid(dataset, "SeriesInstanceUID", sop_instance_uid),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        sop_instance_uid=sop_instance_uid,
        accession_number=_request_text(dataset, "AccessionNumber"),
        study_id=text_of(dataset, "StudyID"),
        referring_physician=next(filter(None, _name_groups(dataset, "ReferringPhysicianName")), ""),
        placer_order_number=_request_text(dataset, "PlacerOrderNumberImagingServiceRequest"),
        filler_order_number=_request_text(dataset, "FillerOrderNumberImagingServiceRequest"),
        requested_procedure_id=_request_text(dataset, "RequestedProcedureID"),
        performed_at=performed_at,
    )


def read_patient_id(dataset: Dataset) -> str:
    """The Patient ID alone; empty when there is none. Raises MalformedInstance."""
    return text_of(dataset, "PatientID")


def acquisition_time(dataset: Dataset) -> datetime | None:
    """Acquisition, else content, else study time, the first with a whole date; else None.

    Aware when the value or Timezone Offset From UTC (0008,0201) gives the offset. A date without
    a time stands for its first moment.
    """
    offset = utc_offset(text_of(dataset, "TimezoneOffsetFromUTC"))
    if match := _DATE_TIME.fullmatch(text_of(dataset, "AcquisitionDateTime")):
        moment = _combined(match[1], match[2] or "", utc_offset(match[3] or "") or offset)
        if moment is not None:
            return moment
    for event in ("Acquisition", "Content", "Study"):
        moment = _combined(
            text_of(dataset, f"{event}Date"), text_of(dataset, f"{event}Time"), offset
        )
        if moment is not None:
            return moment
    return None


def dicom_date(text: str) -> date | None:
    """A DA value, also in its old form YYYY.MM.DD; None when it is no date."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None


def utc_offset(text: str) -> timezone | None:
    """An offset from UTC as DICOM writes it, "+0100"; None when it is none."""
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    minutes = int(match[2]) * 60 + int(match[3])
    if minutes > 14 * 60:  # PS3.3 C.12.1.1.8: -1200 to +1400
        return None
    return timezone(timedelta(minutes=minutes if match[1] == "+" else -minutes))


def read_patient(dataset: Dataset) -> Patient:
    """The patient of an instance or a worklist item. Raises MalformedInstance."""
    qualifiers = items_of(dataset, "IssuerOfPatientIDQualifiersSequence")
    qualifier = qualifiers[0] if qualifiers else Dataset()
    sex = text_of(dataset, "PatientSex").upper()
    return Patient(
        patient_id=read_patient_id(dataset),
        issuer_of_patient_id=text_of(dataset, "IssuerOfPatientID"),
        issuer_universal_id=text_of(qualifier, "UniversalEntityID"),
        issuer_universal_id_type=text_of(qualifier, "UniversalEntityIDType"),
        name="=".join(_name_groups(dataset, "PatientName")).rstrip("="),
        birth_date=dicom_date(text_of(dataset, "PatientBirthDate")),
        sex=sex if sex in ("M", "F", "O") else "",
    )


def put_patient(dataset: Dataset, patient: Patient) -> Dataset:
    """The data set, which now is of that patient; the Patient ID that it had is an other one.

    What the patient leaves out stays as it was. The data set itself is changed.
    Source: DICOM PS3.3 C.7.1.1, C.7.1.1.1.1 (other Patient IDs), 10.14 (issuer).
    """
    former = read_patient(dataset)
    other = Dataset()
    other.PatientID = former.patient_id
    other.TypeOfPatientID = "TEXT"
    if former.issuer_of_patient_id:
        other.IssuerOfPatientID = former.issuer_of_patient_id
    dataset.OtherPatientIDsSequence = [*items_of(dataset, "OtherPatientIDsSequence"), other]
    dataset.PatientID = patient.patient_id
    if patient.issuer_of_patient_id or patient.issuer_universal_id:
        _put_issuer(dataset, patient)
    if patient.name:
        dataset.PatientName = patient.name
    if patient.birth_date is not None:
        dataset.PatientBirthDate = patient.birth_date.isoformat().replace("-", "")
    if patient.sex:
        dataset.PatientSex = patient.sex
    return dataset


def _put_issuer(dataset: Dataset, patient: Patient) -> None:
    dataset.IssuerOfPatientID = patient.issuer_of_patient_id
    qualifiers = []
    if patient.issuer_universal_id:
        qualifier = Dataset()
        qualifier.UniversalEntityID = patient.issuer_universal_id
        qualifier.UniversalEntityIDType = patient.issuer_universal_id_type
        qualifiers.append(qualifier)
    dataset.IssuerOfPatientIDQualifiersSequence = qualifiers


def _name_groups(dataset: Dataset, keyword: str) -> list[str]:
    """The groups of a PN in their order, empty where one says nothing (PS3.5 §6.2.1)."""
    groups = (group.strip() for group in text_of(dataset, keyword).split("="))
    return [group if group.strip("^ ") else "" for group in groups]


def _request_text(dataset: Dataset, keyword: str) -> str:
    """An identifier of the request, at the top level or inside the request's sequences."""
    places = [dataset]
    places += items_of(dataset, "RequestAttributesSequence")
    places += items_of(dataset, "ReferencedRequestSequence")
    return next((text for place in places if (text := text_of(place, keyword))), "")


def _usable_uid(dataset: Dataset, keyword: str, sop_instance_uid: str) -> str:
    stated = text_of(dataset, keyword)
    if _WIRE_SAFE_UID.fullmatch(stated):
        return stated
    return derived_uid(keyword, stated, sop_instance_uid)


def _combined(date_text: str, time_text: str, offset: timezone | None) -> datetime | None:
    day = dicom_date(date_text)
    if day is None:
        return None
    return datetime.combine(day, _time(time_text), tzinfo=offset)


def _time(text: str) -> time:
    """A TM value, also in its old form HH:MM:SS; midnight when it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return time()
    hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3))
    try:
        # A leap second is written as 60 (PS3.5 §6.2), which Python has no place for.
        return time(hour, minute, min(second, 59), int((match[4] or "").ljust(6, "0")))
    except ValueError:
        return time()
