"""A table of diseases: one row a subject, one column a disease, 0, 1 or empty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from node.domain.errors import UnusableData
from pipelines.cohort.phenotypes import DISEASES
from pipelines.datasets.tables import MISSING_TEXTS, read_rows
from pipelines.datasets.training_set import UNKNOWN

SUBJECT: Final = "subject_id"
FIELD_IDS: Final = tuple(field_id for field_id, _name in DISEASES)
_LABELS: Final = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, **dict.fromkeys(MISSING_TEXTS, UNKNOWN)}

Labels = tuple[int, ...]
"""In the order of DISEASES: 0, 1 or UNKNOWN."""


def read_disease_table(path: Path) -> Mapping[str, Labels]:
    """The labels by subject; a disease without a column is UNKNOWN.

    Raises UnusableData: no column subject_id, a column that is no disease, no subject or one who
    was there before, another value than 0, 1 or none.
    """
    found: dict[str, Labels] = {}
    for line, row in read_rows(path, [SUBJECT]):
        _check_columns(row)
        subject_id = row[SUBJECT].strip()
        if not subject_id or subject_id in found:
            raise UnusableData(f"line {line}: no subject, or one who was there before")
        found[subject_id] = tuple(_label(row.get(each, ""), each, line) for each in FIELD_IDS)
    if not found:
        raise UnusableData("the table of diseases has no row")
    return found


def _check_columns(row: Mapping[str, str]) -> None:
    others = row.keys() - {SUBJECT, *FIELD_IDS}
    if others or len(row) == 1:
        raise UnusableData(
            f"columns of the table of diseases are {SUBJECT} and one or more of "
            f"{', '.join(FIELD_IDS)}; not {', '.join(sorted(others)) or SUBJECT + ' alone'}"
        )


def _label(text: str, field_id: str, line: int) -> int:
    label = _LABELS.get(text.strip().upper())
    if label is None:
        raise UnusableData(f"line {line}, column {field_id}: not 0, 1 or empty")
    return label
