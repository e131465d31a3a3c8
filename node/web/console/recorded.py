"""What an ECG itself says, for a page: of whom it is, and when it was recorded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Final

from pydicom import Dataset

from node.dicom.attribute import text_of
from node.dicom.part10 import read_part10
from node.dicom.study import read_patient, read_study
from node.domain.errors import CardioNodeError
from node.domain.study import Patient
from node.workflow.ports import ObjectStore

_REMEMBERED: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """As the ECG states it; what it leaves out is empty."""

    name: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)
    age: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    performed_at: datetime | None = None
    """By the recorder's clock; aware where it says its offset."""
    device: str = ""

    def under(self, patient: Patient) -> Recorded:
        """The same of another patient."""
        return Recorded(
            **_told(patient),
            age=self.age,
            accession_number=self.accession_number,
            performed_at=self.performed_at,
            device=self.device,
        )


class Recordings:
    """Reads them from the objects, which never change: the last ones are remembered."""

    def __init__(self, spool: ObjectStore) -> None:
        self._spool = spool
        self._lock = Lock()
        self._remembered: OrderedDict[str, Recorded] = OrderedDict()

    def read_patient(self, content_digest: str) -> Patient | None:
        """Whom a result is filed under; None where it cannot be read."""
        try:
            return read_patient(read_part10(self._spool.get(content_digest)))
        except CardioNodeError:
            return None

    def read(self, content_digest: str) -> Recorded:
        """Of the object of that name; one that cannot be read says nothing."""
        with self._lock:
            known = self._remembered.get(content_digest)
        if known is not None:
            return known
        try:
            found = recorded(read_part10(self._spool.get(content_digest)))
        except CardioNodeError:
            return Recorded()
        with self._lock:
            self._remembered[content_digest] = found
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found


def recorded(ecg: Dataset) -> Recorded:
    """Raises MalformedInstance."""
    study = read_study(ecg)
    maker = (text_of(ecg, "Manufacturer"), text_of(ecg, "ManufacturerModelName"))
    return Recorded(
        **_told(study.patient),
        age=text_of(ecg, "PatientAge").lstrip("0"),
        accession_number=study.accession_number,
        performed_at=study.performed_at,
        device=" ".join(filter(None, maker)),
    )


def _told(patient: Patient) -> dict[str, str]:
    return {
        "name": readable(patient.leading_name),
        "patient_id": patient.patient_id,
        "sex": patient.sex,
        "birth_date": f"{patient.birth_date:%Y-%m-%d}" if patient.birth_date else "",
    }


def readable(person_name: str) -> str:
    """A PN as lists have it: the family name, and after a comma the given ones."""
    family, *others = (part.strip() for part in person_name.split("^"))
    return ", ".join(filter(None, (family, " ".join(filter(None, others)))))
