"""What a bundle of the published checkpoints says of itself: licences, origin, intended use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.domain.identifiers import digest_of
from pipelines.cardionets.export import graph_spec
from pipelines.graph_spec import GraphsSpec
from pipelines.manifest import (
    CineSpec,
    DiseaseSpec,
    GoldenSpec,
    Manifest,
    PopulationSpec,
    ProvenanceSpec,
    SourceSpec,
    disease_name,
)
from pipelines.preprocessing import RECIPES
from pipelines.sampler_spec import SamplerSpec

RECIPE: Final = RECIPES["published-1"]
ENCODER_LICENCE: Final = "CC BY-NC 4.0"
ENCODER_STATEMENT: Final = (
    "Trained on from the weights of ST-MEM, which are CC BY-NC 4.0: non-commercial use only, and "
    "the authors of both are to be named."
)
UNSTATED_LICENCE: Final = "none came with the file"
UNSTATED_STATEMENT: Final = (
    "Trained on UK Biobank data: ask the authors before any use beyond your own research."
)
LICENCE: Final = (
    "Non-commercial research only: the ECG encoders descend from weights under CC BY-NC 4.0; no "
    "licence came with generator and autoencoder: ask their authors"
)
INTENDED_USE: Final = (
    "Research only. A synthetic cine that is plausible for the ECG, not the subject's own heart; "
    "not for clinical use."
)
TRAINING_DATA: Final = (
    "UK Biobank and MIMIC-IV-ECG, by the authors of arXiv 2411.13602 (Ding et al., NEJM AI "
    "2026;3(4)); weights as published, imported without training"
)
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class DiseaseFile:
    """A checkpoint of an ECG encoder for one disease."""

    field_id: str
    """One that dicom_templates/concepts.toml has a code for."""
    name: str
    file: Path


def disease_file(text: str) -> DiseaseFile:
    """Of "cardiomyopathy=FILE"; the name follows from the id. Raises ValueError."""
    field_id, _, file = text.partition("=")
    if not field_id or not file:
        raise ValueError(f"{text!r} is not of the form cardiomyopathy=FILE")
    return DiseaseFile(field_id=field_id, name=disease_name(field_id), file=Path(file))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """The files: the aligned ECG encoder, the generator, the autoencoder, the diseases'."""

    ecg: Path
    generator: Path
    autoencoder: Path
    diseases: tuple[DiseaseFile, ...] = ()

    def licences(self) -> list[tuple[Path, str, str]]:
        """File, its licence, what follows."""
        encoders = (self.ecg, *(disease.file for disease in self.diseases))
        return [
            *((file, ENCODER_LICENCE, ENCODER_STATEMENT) for file in encoders),
            *(
                (file, UNSTATED_LICENCE, UNSTATED_STATEMENT)
                for file in (self.generator, self.autoencoder)
            ),
        ]


def published_manifest(
    files: Checkpoints,
    name: str,
    graphs: Mapping[str, bytes],
    sampler: SamplerSpec,
    cine: CineSpec,
) -> Manifest:
    sources = tuple(
        SourceSpec(file=file.name, sha256=_sha256(file), licence=licence, statement=statement)
        for file, licence, statement in files.licences()
    )
    return Manifest(
        schema_version=1,
        name=name,
        version="1.0.0",
        title="12-lead ECG to four-chamber cine, published weights",
        graphs=GraphsSpec(
            **{role: graph_spec(graph, f"graphs/{role}.onnx") for role, graph in graphs.items()}
        ),
        phenotypes=(),
        diseases=tuple(
            DiseaseSpec(field_id=disease.field_id, name=disease.name) for disease in files.diseases
        ),
        cine=cine,
        sampler=sampler,
        preprocessing=RECIPE.name,
        interval_coverage=0.9,  # of no interval: no phenotype is offered
        population=PopulationSpec(
            age_years=(44, 82),
            description="Participants of UK Biobank's imaging study, who are healthier than most.",
        ),
        intended_use=INTENDED_USE,
        training_data=TRAINING_DATA,
        simulated=False,
        licence=LICENCE,
        sources=sources,
        golden=GoldenSpec(file="golden/golden.npz", tolerance=_TOLERANCE),
        provenance=ProvenanceSpec(
            config_digest=digest_of(*(source.sha256 for source in sources)), seed=0
        ),
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def model_card(manifest: Manifest) -> str:
    """What a person reads before using the bundle."""
    sources = "\n".join(
        f"- `{source.file}`, SHA-256 `{source.sha256}`: {source.licence}. {source.statement}"
        for source in manifest.sources
    )
    return f"""# {manifest.name}

{manifest.title}. Offers: {manifest.capabilities_text}.

## Use
{manifest.intended_use}

A disease's probability, where one is offered, comes as its network gives it; its calibration was
not checked here.

## Training
{manifest.training_data}.

## Measured
Nothing was measured at the import. The authors give a structural similarity of 0.205 between a
drawn cine and the subject's own: a picture of a heart that goes with the ECG.

## Licence
{manifest.licence}.

{sources}
"""
