"""Who a message is about, and what an ADT says of patients: admitted, changed, merged.

Source: HL7 v2.5.1 §3.3 (events), §3.4.2 (PID), §3.4.9 (MRG); §2.A.14 (CX), §2.A.88 (XPN).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from node.domain.study import Patient
from node.hl7.segment import MOST_TOLD, Segment, fitting, missing, too_many

MERGES: Final = frozenset({"ADT^A40", "ADT^A47"})
"""They name the identifier that is given up, in MRG."""
PATIENT_MESSAGES: Final = MERGES | {"ADT^A01", "ADT^A04", "ADT^A08", "ADT^A31"}
LONGEST_ID: Final = 64
"""Of an identifier and of who gave it: a longer one is on no ECG. Source: DICOM PS3.5 §6.2, LO."""

_MEDICAL_RECORD = ("MR", "PI", "PT", "")
"""Identifier types (table 0203), the one that DICOM's Patient ID most likely holds first."""
_SEXES = frozenset("MFO")
_NOT_IN_NAME = re.compile(r"[\^=\\\x00-\x1f\x7f]")
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)")
_GROUPS = {"": 0, "A": 0, "I": 1, "P": 2}
"""Group of a PN by name representation code (table 0465). Source: DICOM PS3.5 §6.2.1.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientNews:
    """A patient as the sender has it now."""

    patient: Patient = field(repr=False)
    prior: Patient | None = field(default=None, repr=False)
    """Under whose identifier the patient was known too, and is not any more."""


def read_patient(pid: Segment) -> Patient:
    """The patient of a PID segment; without an identifier its Patient ID is empty."""
    sex = pid.text(8).upper()
    return _identified(pid, 3, name=_person_name(pid, 5), birth_date=_date(pid.text(7)), sex=sex)


def read_patient_news(segments: Iterable[Segment], *, merges: bool) -> tuple[PatientNews, ...]:
    """What an ADT says, in its order. merges: whether its event names prior identifiers.

    Raises UnacceptableContent (no PID, no PID-3, of a merge no MRG or MRG-1, more than MOST_TOLD
    patients).
    """
    news: list[PatientNews] = []
    for segment in segments:
        if segment.name == "PID":
            patient = read_patient(segment)
            if not patient.patient_id:
                raise missing("PID-3, the patient's identifier")
            if len(news) == MOST_TOLD:
                raise too_many("patients")
            news.append(PatientNews(patient=patient))
        elif segment.name == "MRG" and merges and news:
            prior = _identified(segment, 1, name=_person_name(segment, 7))
            if not prior.patient_id:
                raise missing("MRG-1, the prior identifier")
            news[-1] = PatientNews(patient=news[-1].patient, prior=prior)
    if not news:
        raise missing("PID, the patient")
    if merges and any(each.prior is None for each in news):
        raise missing("MRG, the identifier that is given up")
    return tuple(news)


def _identified(
    segment: Segment, number: int, *, name: str, birth_date: date | None = None, sex: str = ""
) -> Patient:
    """With the identifier that an ECG most likely has: a CX with its assigning authority."""

    def rank(repetition: int) -> int:
        kind = segment.text(number, 5, repetition=repetition)
        return _MEDICAL_RECORD.index(kind) if kind in _MEDICAL_RECORD else len(_MEDICAL_RECORD)

    usable = [
        repetition
        for repetition in segment.repetitions(number)
        if fitting(segment.text(number, repetition=repetition), LONGEST_ID)
    ]
    if not usable:
        return Patient(name=name, birth_date=birth_date, sex=sex if sex in _SEXES else "")
    chosen = min(usable, key=rank)
    issuer, universal_id, kind = (
        fitting(segment.text(number, 4, subcomponent=part, repetition=chosen), LONGEST_ID)
        for part in (1, 2, 3)
    )
    return Patient(
        patient_id=segment.text(number, repetition=chosen),
        issuer_of_patient_id=issuer,
        issuer_universal_id=universal_id,
        issuer_universal_id_type=kind if universal_id else "",
        name=name,
        birth_date=birth_date,
        sex=sex if sex in _SEXES else "",
    )


def _person_name(segment: Segment, number: int) -> str:
    """PN of an XPN, which has suffix before prefix: its first repetition in each kind of writing.

    Of FN the surname is taken; what DICOM takes for separators, or does not take, is a space.
    """
    groups = ["", "", ""]
    for repetition in segment.repetitions(number):
        place = _GROUPS.get(segment.text(number, 8, repetition=repetition), 0)
        if groups[place]:
            continue
        family, given, middle, suffix, prefix = (
            _NOT_IN_NAME.sub(" ", segment.text(number, part, subcomponent=1, repetition=repetition))
            for part in (1, 2, 3, 4, 5)
        )
        groups[place] = "^".join((family, given, middle, prefix, suffix)).rstrip("^")
    return "=".join(groups).rstrip("=")


def _date(text: str) -> date | None:
    """The day of a DTM; None where it is not known so precisely."""
    match = _DATE.match(text)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None
