"""Runtimes: what executes a graph. One file each; this one says what they all give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from node.domain.errors import PredictionError
from pipelines.graph_spec import Sizes

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
    shape: tuple[int | str | None, ...]
    """A text stands for a dimension that the file leaves open, None for one whose name is lost."""


class Session(Protocol):
    """A loaded graph; may be run from several threads at once."""

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    def run(self, inputs: Feed) -> dict[str, Array]:
        """Every output by name: same inputs, same bytes.

        Raises PredictionError (the graph failed, or an output holds NaN or infinity), DeviceError
        (the device failed: another one may give the answer).
        """
        ...


class Runtime(Protocol):
    """Something that loads graphs."""

    @property
    def name(self) -> str:
        """With version and device, as written into every result."""
        ...

    @property
    def precision(self) -> str:
        """In which it computes, e.g. "fp16"; inputs and outputs are float32 all the same."""
        ...

    def load(self, path: Path, sizes: Sizes) -> Session:
        """A session for a graph of a bundle, whose open dimensions stay within `sizes`.

        Raises BundleError (the file cannot be served here), DeviceError.
        """
        ...


def finite(graph: str, outputs: dict[str, Array]) -> dict[str, Array]:
    """The outputs, once it is sure that they are numbers. Raises PredictionError."""
    for name, value in outputs.items():
        if not np.isfinite(value).all():
            raise PredictionError(
                f"graph {graph} gave NaN or infinity in output {name}: there is no estimate for "
                "this ECG; report this with the bundle's name and version"
            )
    return outputs


def failed(graph: str, cause: Exception) -> PredictionError:
    """The error of a graph that could not be run, by the name of what its runtime raised."""
    return PredictionError(
        f"graph {graph} failed ({type(cause).__name__}); verify the bundle with "
        "`cardionode bundle verify` and report this with the bundle's name and version"
    )
