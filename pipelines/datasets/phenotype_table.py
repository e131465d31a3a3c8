"""UK Biobank's table of one row a participant: heart phenotypes, age, sex, height, weight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from node.domain.ecg import Subject
from node.domain.errors import UnusableData
from pipelines.cohort.phenotypes import PHENOTYPES, Phenotype
from pipelines.datasets.recording import Refused
from pipelines.datasets.tables import MISSING_TEXTS, number_in, read_rows

FIELDS: Final = {phenotype.field_id: phenotype for phenotype in PHENOTYPES}
SEX, AGE, HEIGHT, WEIGHT = "31", "21003", "50", "21002"
LIMITS: Final = {AGE: (0.0, 130.0), HEIGHT: (30.0, 250.0), WEIGHT: (1.0, 400.0)}
SEXES: Final = {"0": "F", "1": "M", "0.0": "F", "1.0": "M", "FEMALE": "F", "MALE": "M"}
"""Coding 9 of UK Biobank, or its meaning where the platform exports labels."""
_COLUMN: Final = re.compile(r"(?:f\.|p)?(\d+)(?:[-._]i?(\d+))?(?:[._]a?(\d+))?")
"""24100-2.0, 24100_2_0, f.24100.2.0 and p24100_i2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One row. phenotypes: by field id, in the unit of `FIELDS`; missing ones are absent."""

    subject: Subject
    phenotypes: Mapping[str, float] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PhenotypeTable:
    """All rows by participant, and the values that were left out."""

    participants: Mapping[str, Participant] = field(repr=False)
    refused: tuple[Refused, ...]


def read_phenotype_table(
    path: Path, *, instance: int = 2, units: Mapping[str, str] | None = None
) -> PhenotypeTable:
    """The table of one visit; 2 is the first imaging visit.

    units: the unit of each field where the caller has UK Biobank's data dictionary, checked.
    A value outside the range of its field is left out and listed in `refused` by its line.
    Raises UnusableData: no participant or phenotype column, a participant twice, text where a
    number is expected, another unit, a field whose mean over the table is not believable.
    """
    _check_units(units or {})
    columns = _columns(path, instance)
    id_column = columns.pop("eid")
    participants: dict[str, Participant] = {}
    refused: list[Refused] = []
    seen: dict[str, list[float]] = {field_id: [] for field_id in FIELDS if field_id in columns}
    for line, row in read_rows(path, [id_column, *columns.values()]):
        if not row[id_column] or row[id_column] in participants:
            raise UnusableData(f"line {line}: no participant, or one who was there before")
        phenotypes: dict[str, float] = {}
        for field_id, values in seen.items():
            value = number_in(row, columns[field_id], line)
            if value is None:
                continue
            values.append(value)
            if FIELDS[field_id].minimum <= value <= FIELDS[field_id].maximum:
                phenotypes[field_id] = value
            else:
                refused.append(_implausible(path, line, FIELDS[field_id]))
        subject = _subject(row, columns, line)
        participants[row[id_column]] = Participant(subject=subject, phenotypes=phenotypes)
    for field_id, values in seen.items():
        _check_mean(FIELDS[field_id], values)
    return PhenotypeTable(participants=participants, refused=tuple(refused))


def _check_units(units: Mapping[str, str]) -> None:
    for field_id, unit in units.items():
        if field_id in FIELDS and unit != FIELDS[field_id].unit:
            raise UnusableData(
                f"field {field_id} is in another unit than {FIELDS[field_id].unit}; convert it"
            )


def _columns(path: Path, instance: int) -> dict[str, str]:
    """The column of each wanted field at this visit, and of the participant as `eid`."""
    found: dict[str, str] = {}
    for column in _header(path):
        name = column.strip().removeprefix("participant.")
        if name in ("eid", "f.eid"):
            key: str | None = "eid"
        else:
            key = _field_of(name, instance)
        if key is None:
            continue
        if key in found:
            raise UnusableData(f"two columns for {key}")
        found[key] = column
    if "eid" not in found:
        raise UnusableData("no column eid")
    if not found.keys() & FIELDS.keys():
        raise UnusableData(f"no column of the fields 24100 to 24181 at visit {instance}")
    return found


def _header(path: Path) -> list[str]:
    for _line, row in read_rows(path, []):
        return list(row)
    raise UnusableData("the table has no row")


def _field_of(name: str, instance: int) -> str | None:
    """The wanted field that a column holds at this visit, None for all other columns."""
    match = _COLUMN.fullmatch(name)
    if match is None or int(match[3] or 0) != 0:
        return None
    field_id = match[1]
    if field_id == SEX:  # asked once, at the first visit
        return field_id
    wanted = field_id in FIELDS or field_id in LIMITS
    return field_id if wanted and match[2] is not None and int(match[2]) == instance else None


def _implausible(path: Path, line: int, phenotype: Phenotype) -> Refused:
    return Refused(
        path=path,
        reason=f"line {line}, field {phenotype.field_id}: outside {phenotype.minimum:g} to "
        f"{phenotype.maximum:g} {phenotype.unit}; the value is left out",
        code="implausible-value",
    )


def _check_mean(phenotype: Phenotype, values: list[float]) -> None:
    """Refuse a column in another unit: one value may be an outlier, the mean of all is not."""
    if not values:
        return
    mean = float(np.mean(values))
    fraction = phenotype.unit == "%" and abs(mean) < 1
    if fraction or not phenotype.minimum <= mean <= phenotype.maximum:
        raise UnusableData(
            f"field {phenotype.field_id}: its mean is not believable in {phenotype.unit}; check "
            "the unit and the column"
        )


def _subject(row: dict[str, str], columns: dict[str, str], line: int) -> Subject:
    numbers: dict[str, float | None] = {}
    for field_id, (lowest, highest) in LIMITS.items():
        value = number_in(row, columns[field_id], line) if field_id in columns else None
        numbers[field_id] = value if value is not None and lowest <= value <= highest else None
    sex = row[columns[SEX]].strip().upper() if SEX in columns else ""
    if sex not in MISSING_TEXTS and sex not in SEXES:
        raise UnusableData(f"line {line}, field {SEX}: neither 0 (female) nor 1 (male)")
    return Subject(
        age_years=numbers[AGE],
        sex=SEXES.get(sex),
        height_cm=numbers[HEIGHT],
        weight_kg=numbers[WEIGHT],
    )
