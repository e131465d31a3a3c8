"""MIMIC-IV-ECG: diagnostic ECGs of a hospital, as WFDB with two tables.

Source: MIMIC-IV-ECG 1.0, PhysioNet. Leads are stored with aVF before aVL; they are read by name.
Times are shifted by subject: only differences between a subject's own years mean anything.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from node.domain.ecg import Subject
from node.domain.errors import InputError, UnusableData
from pipelines.datasets.recording import Measurement, Recording, Refused
from pipelines.datasets.tables import number_in, read_rows
from pipelines.datasets.wfdb_records import read_wfdb

RECORD_LIST: Final = "record_list.csv"
MACHINE_MEASUREMENTS: Final = "machine_measurements.csv"
MISSING: Final = 29999
"""The cart's "not measured", e.g. the P wave in atrial fibrillation."""
OVER_89: Final = 91
OLDEST_YEARS: Final = 90.0
"""Read for 91, which hides the ages above 89: the least that is true."""
UNITS: Final = {
    "rr_interval": "ms",
    "p_onset": "ms",
    "p_end": "ms",
    "qrs_onset": "ms",
    "qrs_end": "ms",
    "t_end": "ms",
    "p_axis": "deg",
    "qrs_axis": "deg",
    "t_axis": "deg",
}


class MachineMeasurements:
    """What the carts measured, by study. Held compactly: 800,000 studies are about 130 MB."""

    def __init__(self, path: Path) -> None:
        """Raises UnusableData."""
        self._rows: dict[str, int] = {}
        self._values = array("f")
        for line, row in read_rows(path, ["study_id", *UNITS]):
            self._rows[row["study_id"]] = len(self._rows)
            for column in UNITS:
                value = number_in(row, column, line)
                self._values.append(MISSING if value is None else value)

    def of(self, study_id: str) -> Mapping[str, Measurement]:
        """Empty for an unknown study; what was not measured is absent."""
        row = self._rows.get(study_id)
        if row is None:
            return {}
        values = self._values[row * len(UNITS) : (row + 1) * len(UNITS)]
        return {
            column: Measurement(value=value, unit=unit)
            for (column, unit), value in zip(UNITS.items(), values, strict=True)
            if value != MISSING
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Patient:
    """A row of MIMIC-IV's patients: the age in one of the subject's shifted years."""

    sex: str | None = field(repr=False)
    anchor_age: int = field(repr=False)
    anchor_year: int = field(repr=False)

    def at(self, year: int) -> Subject:
        if self.anchor_age == OVER_89:
            return Subject(age_years=OLDEST_YEARS, sex=self.sex)
        age = self.anchor_age + year - self.anchor_year
        return Subject(age_years=float(age) if 0 <= age <= 130 else None, sex=self.sex)


def read_mimic_iv_ecg(folder: Path, patients: Path | None = None) -> Iterator[Recording | Refused]:
    """Every record of the list, in its order.

    patients: patients.csv(.gz) of MIMIC-IV's module hosp, for age and sex; the ECGs have neither.
    Raises UnusableData when a table cannot be read; a record that cannot is `Refused`.
    """
    measurements = MachineMeasurements(folder / MACHINE_MEASUREMENTS)
    people = {} if patients is None else _read_patients(patients)
    columns = ["subject_id", "study_id", "ecg_time", "path"]
    for line, row in read_rows(folder / RECORD_LIST, columns):
        path = folder / f"{row['path']}.hea"
        try:
            patient = people.get(row["subject_id"])
            subject = Subject() if patient is None else patient.at(_year(row["ecg_time"], line))
            ecg, _nobody = read_wfdb(path)
        except InputError as error:
            yield Refused.because(path, error)
            continue
        yield Recording(
            subject_id=row["subject_id"],
            source=path,
            subject=subject,
            ecg=ecg,
            measurements=measurements.of(row["study_id"]),
        )


def _read_patients(path: Path) -> dict[str, _Patient]:
    found: dict[str, _Patient] = {}
    for line, row in read_rows(path, ["subject_id", "gender", "anchor_age", "anchor_year"]):
        age = number_in(row, "anchor_age", line)
        year = number_in(row, "anchor_year", line)
        if age is None or year is None:
            raise UnusableData(f"line {line}: no anchor_age or anchor_year")
        sex = row["gender"] if row["gender"] in ("M", "F") else None
        found[row["subject_id"]] = _Patient(sex=sex, anchor_age=int(age), anchor_year=int(year))
    return found


def _year(ecg_time: str, line: int) -> int:
    match = re.match(r"(\d{4})-", ecg_time)
    if match is None:
        raise UnusableData(f"line {line}: ecg_time does not begin with a year")
    return int(match[1])
