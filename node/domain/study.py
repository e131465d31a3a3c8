"""The patient and the study an ECG belongs to: what results repeat exactly, and logs never show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum


class NameGroup(Enum):
    """In what a name is written; the order of the groups of a PN (DICOM PS3.5 §6.2.1.2)."""

    ALPHABETIC = "alphabetic"
    IDEOGRAPHIC = "ideographic"
    PHONETIC = "phonetic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Identity as the ECG states it. No field is shown by repr."""

    patient_id: str = field(default="", repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    issuer_universal_id: str = field(default="", repr=False)
    """Universal Entity ID of the issuer (0040,0032), an OID when its type is ISO."""
    issuer_universal_id_type: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    """PN text: groups parted by '=', their components by '^'."""
    birth_date: date | None = field(default=None, repr=False)
    sex: str = field(default="", repr=False)
    """Patient's Sex (0010,0040): M, F, O or empty."""

    @property
    def name_groups(self) -> Mapping[NameGroup, str]:
        """The groups of the name that say anything."""
        groups = zip(NameGroup, self.name.split("="), strict=False)
        return {group: text for group, text in groups if text.strip("^ ")}

    @property
    def leading_name(self) -> str:
        """The alphabetic group, else the first that says anything."""
        return next(iter(self.name_groups.values()), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The study of the ECG and what a result needs to be filed beside it."""

    patient: Patient = field(repr=False)
    study_instance_uid: str = field(repr=False)
    series_instance_uid: str = field(repr=False)
    """The ECG's own series."""
    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    """The ECG's own instance."""
    accession_number: str = field(default="", repr=False)
    study_id: str = field(default="", repr=False)
    referring_physician: str = field(default="", repr=False)
    placer_order_number: str = field(default="", repr=False)
    filler_order_number: str = field(default="", repr=False)
    requested_procedure_id: str = field(default="", repr=False)
    performed_at: datetime
    """Acquisition time, else content, else study. Local time; aware when the offset is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyReferences:
    """The DICOM objects that show the same result as a message."""

    study_uid: str
    """Study Instance UID of the study they are filed in."""
    report_uid: str | None
    """SOP Instance UID of the structured report."""
    cine_uid: str | None
    link: str = ""
    """URL that shows the study; empty for none."""
