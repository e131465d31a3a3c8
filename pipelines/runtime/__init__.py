"""Runtimes: what executes a graph. One file each; this one says what they all give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
"""What every graph gives."""
Feed = Mapping[str, NDArray[np.float32] | NDArray[np.int64] | NDArray[np.bool_]]
"""What a graph takes, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output as the runtime sees it in the file."""

    name: str
    dtype: str
    """numpy's name, e.g. "float32"."""
    shape: tuple[int | str, ...]
    """A text stands for a dimension that the file leaves open."""


class Session(Protocol):
    """A loaded graph; may be run from several threads at once."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def run(self, inputs: Feed) -> dict[str, Array]:
        """Every output by name: same inputs, same bytes.

        Raises PredictionError (the graph failed, or an output holds NaN or infinity).
        """
        ...


class Runtime(Protocol):
    """Something that loads graphs."""

    @property
    def name(self) -> str:
        """With version and device, as written into every result."""
        ...

    @property
    def precision(self) -> str: ...

    def load(self, path: Path, threads: int) -> Session:
        """Raises BundleError when the file cannot be served."""
        ...
