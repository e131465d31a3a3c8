"""MIMIC-IV-ECG: diagnostic ECGs of a hospital, as WFDB with two tables.

Source: MIMIC-IV-ECG 1.0, PhysioNet. Leads are stored with aVF before aVL; they are read by name.
Times are shifted for each subject, so nothing here reads them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from node.domain.errors import InputError
from pipelines.datasets.recording import Measurement, Recording, Refused
from pipelines.datasets.tables import number_in, read_rows
from pipelines.datasets.wfdb_records import read_wfdb

RECORD_LIST: Final = "record_list.csv"
MACHINE_MEASUREMENTS: Final = "machine_measurements.csv"
MISSING: Final = 29999
"""The cart's "not measured", e.g. the P wave in atrial fibrillation."""
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


def read_mimic_iv_ecg(folder: Path) -> Iterator[Recording | Refused]:
    """Every record of the list, in its order.

    Raises UnusableData when a table cannot be read; a record that cannot is `Refused`.
    """
    measurements = MachineMeasurements(folder / MACHINE_MEASUREMENTS)
    for _line, row in read_rows(folder / RECORD_LIST, ["subject_id", "study_id", "path"]):
        path = folder / f"{row['path']}.hea"
        try:
            ecg, _nobody = read_wfdb(path)
        except InputError as error:
            yield Refused.because(path, error)
            continue
        yield Recording(
            subject_id=row["subject_id"],
            source=path,
            ecg=ecg,
            measurements=measurements.of(row["study_id"]),
        )
