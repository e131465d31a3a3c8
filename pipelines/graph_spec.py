"""The graphs of a bundle as its manifest declares them: files, inputs, outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def is_inside(name: str) -> bool:
    """Whether a path is relative, plain and stays below the folder it is joined to."""
    path = PurePosixPath(name)
    plain = path.as_posix() == name and "\\" not in name and ":" not in name
    return plain and bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("names a path outside the bundle's folder")
    return name


Text = Annotated[str, Field(min_length=1)]
FileName = Annotated[str, AfterValidator(_inside)]
Size = Annotated[int, Field(ge=1)]
OpenSize = Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
"""A dimension that each run sets, by its name in the file; it may be 0 ("known" at the start)."""


class Range(NamedTuple):
    """Sizes that an open dimension takes."""

    least: int
    usual: int
    most: int


Sizes = Mapping[str, Range]
"""By the open dimension's name."""


class Declaration(BaseModel):
    """A part of the manifest: read once, never changed, no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(Declaration):
    """One input or output of a graph."""

    name: Text
    dtype: Literal["float32", "int64", "bool"]
    shape: tuple[Size | OpenSize, ...]


class GraphSpec(Declaration):
    """One ONNX file."""

    file: FileName
    opset: Annotated[int, Field(ge=18, le=22)]
    """What every runtime takes: from 23 on attention is one operator, which TensorRT-RTX builds in
    half precision only.
    """
    precision: Literal["fp32"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def takes(self, name: str) -> bool:
        return any(tensor.name == name for tensor in self.inputs)


class GraphsSpec(Declaration):
    """The graphs by role.

    A cine comes of the graph `cine`, or is drawn by a sampler with some of the others.
    """

    ecg: GraphSpec
    cine: GraphSpec | None = None
    layout: GraphSpec | None = None
    trunk: GraphSpec | None = None
    head: GraphSpec | None = None
    decoder: GraphSpec | None = None

    @property
    def offered(self) -> dict[str, GraphSpec]:
        roles = {"ecg": self.ecg, "cine": self.cine, **self.of_samplers}
        return {role: graph for role, graph in roles.items() if graph is not None}

    @property
    def of_samplers(self) -> dict[str, GraphSpec | None]:
        return {
            "layout": self.layout,
            "trunk": self.trunk,
            "head": self.head,
            "decoder": self.decoder,
        }
