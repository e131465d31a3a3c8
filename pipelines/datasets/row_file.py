"""Rows of one kind on their way into an array whose length nobody knows yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

CHUNK = 256
"""Rows held in memory at once."""


class RowFile:
    """A file that rows of one dtype and shape are appended to; memory holds none of them."""

    def __init__(self, path: Path, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self.count = 0
        self._path = path
        self._dtype, self._shape = np.dtype(dtype), shape
        self._file = path.open("wb")

    def close(self) -> None:
        self._file.close()

    def append(self, row: ArrayLike) -> None:
        """Raises ValueError (a row of another shape)."""
        stored = np.asarray(row, self._dtype)
        if stored.shape != self._shape:
            raise ValueError(f"a row of shape {stored.shape} where {self._shape} is expected")
        self._file.write(stored.tobytes())
        self.count += 1

    def chunks(self, order: NDArray[np.int64] | None = None) -> Iterator[NDArray[Any]]:
        """All rows, at most CHUNK (k, ...) at a time, in the order they came or in another."""
        self._file.flush()
        if not self.count:
            return
        rows = np.memmap(self._path, self._dtype, "r", shape=(self.count, *self._shape))
        for start in range(0, self.count, CHUNK):
            part = slice(start, start + CHUNK)
            yield rows[part] if order is None else rows[order[part]]
