"""Rows of a comma- or tab-separated table, by column name."""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, TextIO

from node.domain.errors import UnusableData

MISSING_TEXTS: Final = ("", "NA", "NAN", "NULL")


def read_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row: the line of the file it ends on, and its values by column.

    A name that ends on .gz is decompressed. Raises UnusableData: not text, a column missing or
    there twice, a row of another length.
    """
    try:
        with _opened(path) as file:
            delimiter = "\t" if "\t" in file.readline() else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            _check_header(header, columns)
            for row in reader:
                if len(row) != len(header):
                    raise UnusableData(
                        f"line {reader.line_num} has {len(row)} values, the header {len(header)}"
                    )
                yield reader.line_num, dict(zip(header, row, strict=True))
    except (csv.Error, EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
        raise UnusableData("not a table of comma- or tab-separated text in UTF-8") from error
    except OSError as error:
        raise UnusableData("the table cannot be opened") from error


def number_in(row: dict[str, str], column: str, line: int) -> float | None:
    """The number, None where it is missing. Raises UnusableData for other text."""
    text = row[column].strip()
    if text.upper() in MISSING_TEXTS:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.inf
    if not math.isfinite(number):
        raise UnusableData(f"line {line}, column {column}: not a number")
    return number


def _opened(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _check_header(header: list[str], columns: Collection[str]) -> None:
    if len(set(header)) != len(header):
        raise UnusableData("a column comes twice")
    for column in columns:
        if column not in header:
            raise UnusableData(f"no column {column}")
