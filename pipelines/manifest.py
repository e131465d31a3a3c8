"""What a bundle says of itself: graphs, fields with units, ranges and intervals, provenance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from pipelines.graph_spec import Declaration, FileName, GraphsSpec, Text
from pipelines.sampler_spec import LayoutSpec, SamplerSpec

BUNDLE_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"
SIMULATED_STATEMENT: Final = "simulated cohort, not for clinical use"
_OPERANDS: Final = {"difference": 2, "ejection-fraction": 2, "cardiac-output": 1}


class DerivationSpec(Declaration):
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


class PhenotypeSpec(Declaration):
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


class DiseaseSpec(Declaration):
    """One disease screen."""

    field_id: Text
    name: Text


def disease_name(field_id: str) -> str:
    """As its id in dicom_templates says it, for a reader: "heart-failure" is "Heart failure"."""
    return field_id.replace("-", " ").capitalize()


class CineSpec(Declaration):
    """The synthetic cine."""

    view: Text
    frames: Annotated[int, Field(ge=2)]
    rows: Annotated[int, Field(ge=1)]
    columns: Annotated[int, Field(ge=1)]


class PopulationSpec(Declaration):
    """Whom the bundle was trained on."""

    age_years: tuple[float, float]
    description: Text


class GoldenSpec(Declaration):
    """Inputs with known outputs; outputs may differ by tolerance · max(1, largest magnitude).

    A tolerance has a limit: with a wide one any graph would prove itself.
    """

    file: FileName
    tolerance: Annotated[float, Field(gt=0, le=1e-3)]
    drawn_tolerance: Annotated[float, Field(gt=0, le=0.05)] = 0.01
    """Of a latent drawn whole: the first of a head's steps magnifies rounding."""


class SourceSpec(Declaration):
    """A file the bundle was made from, under a licence of its own."""

    file: Text
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    licence: Text
    statement: Text
    """What follows from the licence for whoever uses the bundle."""


class ProvenanceSpec(Declaration):
    """What makes the same bundle again."""

    config_digest: Text
    seed: int


class Manifest(Declaration):
    """manifest.json, schema version 1."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=BUNDLE_NAME)]
    version: Text
    title: Text
    graphs: GraphsSpec
    phenotypes: tuple[PhenotypeSpec, ...]
    diseases: tuple[DiseaseSpec, ...]
    cine: CineSpec | None = None
    sampler: Annotated[SamplerSpec | LayoutSpec, Field(discriminator="kind")] | None = None
    preprocessing: Text
    """Name of a recipe of pipelines.preprocessing."""
    interval_coverage: Annotated[float, Field(gt=0, lt=1)]
    population: PopulationSpec
    intended_use: Text
    training_data: Text
    simulated: bool
    licence: Text
    sources: tuple[SourceSpec, ...] = ()
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
        self._check_the_way_to_a_cine()
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

    def _check_the_way_to_a_cine(self) -> None:
        """By the graph `cine` or by the sampler, which is whole or not there."""
        graphs = self.graphs.of_samplers
        needed = () if self.sampler is None else self.sampler.graphs
        idle = [role for role, graph in graphs.items() if graph is not None and role not in needed]
        missing = [role for role in needed if graphs[role] is None]
        if idle:
            whose = "there is none" if self.sampler is None else f"not {self.sampler.kind}"
            raise ValueError(f"only a sampler uses the graphs {', '.join(idle)}: {whose}")
        if missing:
            raise ValueError(f"the sampler needs the graphs {', '.join(missing)}")
        if self.sampler is not None and self.graphs.cine is not None:
            raise ValueError("a cine comes of the graph cine or of the sampler, not of both")
        if (self.cine is None) != (self.graphs.cine is None and self.sampler is None):
            raise ValueError("a cine and its graph come together: one of them is missing")


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
