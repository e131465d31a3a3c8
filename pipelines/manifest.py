"""What a bundle says of itself: graphs, fields with units, ranges and intervals, provenance."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

SIMULATED_STATEMENT: Final = "simulated cohort, not for clinical use"
_OPERANDS: Final = {"difference": 2, "ejection-fraction": 2, "cardiac-output": 1}


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


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(_Table):
    """One input or output of a graph."""

    name: Text
    dtype: Literal["float32"]
    shape: tuple[Annotated[int, Field(ge=1)], ...]


class GraphSpec(_Table):
    """One ONNX file."""

    file: FileName
    opset: Annotated[int, Field(ge=1)]
    precision: Literal["fp32"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class GraphsSpec(_Table):
    """The graphs by role."""

    ecg: GraphSpec
    cine: GraphSpec | None = None

    @property
    def offered(self) -> dict[str, GraphSpec]:
        roles = {"ecg": self.ecg, "cine": self.cine}
        return {role: graph for role, graph in roles.items() if graph is not None}


class DerivationSpec(_Table):
    """How a field follows from earlier ones.

    difference: a − b. ejection-fraction: 100 (a − b) / a, %. cardiac-output: a · heart rate / 1000,
    L/min of mL.
    """

    kind: Literal["difference", "ejection-fraction", "cardiac-output"]
    of: tuple[str, ...]

    @model_validator(mode="after")
    def _has_its_operands(self) -> Self:
        if len(self.of) != _OPERANDS[self.kind]:
            raise ValueError(f"{self.kind} is made of {_OPERANDS[self.kind]} field(s)")
        return self


class PhenotypeSpec(_Table):
    """One estimate: how it is printed, the range it is kept in, and its interval's scale."""

    field_id: Text
    name: Text
    unit: Text
    """UCUM."""
    decimals: Annotated[int, Field(ge=0, le=6)]
    minimum: float
    maximum: float
    interval_scale: Annotated[float, Field(gt=0)]
    """Half-width of the interval / the graph's spread."""
    derivation: DerivationSpec | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum must be below maximum")
        return self


class DiseaseSpec(_Table):
    """One disease screen."""

    field_id: Text
    name: Text


class CineSpec(_Table):
    """The synthetic cine."""

    view: Text
    frames: Annotated[int, Field(ge=2)]
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]


class PopulationSpec(_Table):
    """Whom the bundle was trained on."""

    age_years: tuple[float, float]
    description: Text


class GoldenSpec(_Table):
    """Inputs with known outputs; outputs may differ by tolerance · max(1, largest magnitude)."""

    file: FileName
    tolerance: Annotated[float, Field(gt=0)]


class ProvenanceSpec(_Table):
    """What makes the same bundle again."""

    config_digest: Text
    seed: int


class Manifest(_Table):
    """manifest.json, schema version 1."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    version: Text
    title: Text
    graphs: GraphsSpec
    phenotypes: tuple[PhenotypeSpec, ...]
    diseases: tuple[DiseaseSpec, ...]
    cine: CineSpec | None = None
    preprocessing: Text
    """Name of a recipe of pipelines.preprocessing."""
    interval_coverage: Annotated[float, Field(gt=0, lt=1)]
    population: PopulationSpec
    intended_use: Text
    training_data: Text
    simulated: bool
    licence: Text
    golden: GoldenSpec
    provenance: ProvenanceSpec

    @property
    def field_ids(self) -> tuple[str, ...]:
        estimates = tuple(spec.field_id for spec in self.phenotypes)
        return estimates + tuple(spec.field_id for spec in self.diseases)

    @property
    def capabilities_text(self) -> str:
        """What it offers, e.g. "22 phenotypes, 2 diseases, cine"."""
        counts = {"phenotype": len(self.phenotypes), "disease": len(self.diseases)}
        parts = [f"{n} {word}{'s' if n > 1 else ''}" for word, n in counts.items() if n]
        return ", ".join([*parts, *(["cine"] if self.cine else [])])

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if not self.capabilities_text:
            raise ValueError("the bundle offers nothing: no phenotypes, no diseases, no cine")
        if (self.cine is None) != (self.graphs.cine is None):
            raise ValueError("a cine and its graph come together: one of them is missing")
        repeated = sorted({name for name in self.field_ids if self.field_ids.count(name) > 1})
        if repeated:
            raise ValueError(f"field ids appear twice: {', '.join(repeated)}")
        if self.simulated and SIMULATED_STATEMENT not in self.training_data:
            raise ValueError(
                f"training_data of a simulated bundle must say {SIMULATED_STATEMENT!r}"
            )
        if self.population.age_years[0] > self.population.age_years[1]:
            raise ValueError("population.age_years must be youngest, oldest")
        _check_derivations(self.phenotypes)
        return self


def _check_derivations(phenotypes: Iterable[PhenotypeSpec]) -> None:
    """Operands stand before what is made of them, and no denominator can be 0."""
    before: dict[str, PhenotypeSpec] = {}
    for spec in phenotypes:
        if spec.derivation is not None:
            unknown = [name for name in spec.derivation.of if name not in before]
            if unknown:
                raise ValueError(
                    f"the derivation of {spec.field_id} names fields unknown before it: "
                    f"{', '.join(unknown)}"
                )
            kind, first = spec.derivation.kind, before[spec.derivation.of[0]]
            if kind == "ejection-fraction" and first.minimum <= 0:
                raise ValueError(
                    f"{first.field_id} divides {spec.field_id}: minimum must be above 0"
                )
        before[spec.field_id] = spec
