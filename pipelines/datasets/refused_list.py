"""What was refused and why, as a table that grows while a cohort is read."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Final

from pipelines.datasets.recording import Refused

REFUSED: Final = "refused.csv"


class RefusedList:
    """A CSV of path and reason. Paths are below one of `roots`, without what lies above it."""

    def __init__(self, file: Path, roots: Collection[Path]) -> None:
        self.count = 0
        self.path = file
        self._roots = roots
        self._file = file.open("w", encoding="utf-8", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")
        self._rows.writerow(["path", "reason"])

    def close(self) -> None:
        self._file.close()

    def add(self, refused: Refused) -> None:
        self._rows.writerow([self._below_root(refused.path), refused.reason])
        self.count += 1

    def _below_root(self, path: Path) -> str:
        """A table may lie anywhere: its name says enough."""
        for root in self._roots:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        return path.name
