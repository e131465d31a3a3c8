"""PTB-XL: clinical ECGs of 10 s at 500 and 100 Hz, as WFDB with one table.

Source: Wagner 2020, Sci Data 7:154, and the notes of PTB-XL 1.0.3, PhysioNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from node.domain.ecg import Subject
from node.domain.errors import InputError, UnusableData
from pipelines.datasets.recording import Recording, Refused
from pipelines.datasets.tables import number_in, read_rows
from pipelines.datasets.wfdb_records import read_wfdb

DATABASE: Final = "ptbxl_database.csv"
FILE_COLUMNS: Final = {500: "filename_hr", 100: "filename_lr"}
OVER_89: Final = 300.0
OLDEST_YEARS: Final = 90.0
"""Read for 300, which hides the ages above 89: the least that is true."""
SEXES: Final = {0: "M", 1: "F"}
N_FOLDS: Final = 10


def read_ptb_xl(folder: Path, sampling_frequency_hz: int = 500) -> Iterator[Recording | Refused]:
    """Every record of the database, in its order, with the publisher's fold (1 to 10).

    sampling_frequency_hz: 500 or 100, of which every record has a copy.
    Raises UnusableData when the table cannot be read; a row or record that cannot is `Refused`.
    """
    file_column = FILE_COLUMNS[sampling_frequency_hz]
    columns = ["patient_id", "age", "sex", "height", "weight", "strat_fold", file_column]
    for line, row in read_rows(folder / DATABASE, columns):
        path = folder / f"{row[file_column]}.hea"
        try:
            yield _recording(row, line, path, sampling_frequency_hz)
        except InputError as error:
            yield Refused.because(path, error)


def _recording(row: dict[str, str], line: int, path: Path, frequency_hz: int) -> Recording:
    patient = _whole(row, "patient_id", line)
    fold = _whole(row, "strat_fold", line)
    if not 1 <= fold <= N_FOLDS:
        raise UnusableData(f"line {line}: strat_fold is not 1 to {N_FOLDS}")
    ecg, _nobody = read_wfdb(path)
    if ecg.sampling_frequency_hz != frequency_hz:
        raise UnusableData(f"sampled at {ecg.sampling_frequency_hz:g} Hz, not at {frequency_hz}")
    return Recording(
        subject_id=str(patient), source=path, subject=_subject(row, line), ecg=ecg, fold=fold
    )


def _subject(row: dict[str, str], line: int) -> Subject:
    age = number_in(row, "age", line)
    if age is not None and age != OVER_89 and not 0 <= age <= 130:
        age = None
    sex = number_in(row, "sex", line)
    if sex is not None and sex not in SEXES:
        raise UnusableData(f"line {line}: sex is neither 0 (male) nor 1 (female)")
    return Subject(
        age_years=OLDEST_YEARS if age == OVER_89 else age,
        sex=None if sex is None else SEXES[int(sex)],
        height_cm=_plausible(number_in(row, "height", line), 30.0, 250.0),
        weight_kg=_plausible(number_in(row, "weight", line), 1.0, 400.0),
    )


def _whole(row: dict[str, str], column: str, line: int) -> int:
    """A whole number; patient ids are written as 15709.0."""
    number = number_in(row, column, line)
    if number is None or number != int(number):
        raise UnusableData(f"line {line}, column {column}: not a whole number")
    return int(number)


def _plausible(number: float | None, lowest: float, highest: float) -> float | None:
    return number if number is not None and lowest <= number <= highest else None
