"""The cines that are compared: drawn by the model, by the ideal sampler, or without an ECG."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.cardionets.autoencoder import Autoencoder, unit_latent
from pipelines.cardionets.left_ventricle import VentricleMeter, Volumes
from pipelines.cine_sampler import DrawnCines
from pipelines.cohort.population import Population, simulate_population
from pipelines.datasets.training_set import SUBJECT_VALUES, TrainingSet
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.evaluation.baselines import demographic_neighbours
from pipelines.evaluation.cine_measures import Cine, diversity
from pipelines.evaluation.ideal import draw_hearts, effective_size, expected, scan, seen, weigh

Array = NDArray[np.float64]
Pictures = NDArray[np.float16]
"""(n, frames, rows, columns) in [0, 1], one cine a subject."""
Each = Callable[[], None]
"""Told that one more subject is done."""
PAIRED: Final = 2
"""Samples of a subject, the first independent ones, that are compared with each other."""
MEASURED: Final = 4
"""Independent samples of a subject whose volumes are measured."""
END_VOLUMES: Final = ("24100", "24101")
"""LVEDV and LVESV."""
NEIGHBOURS: Final = 12
BANK_SEED: Final = 1
"""Over that of the training set: the bank holds other subjects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """For n subjects: the first sample, the mean of all, and how unlike samples are."""

    sample: Pictures
    mean: Pictures
    spread: NDArray[np.float16]
    """(n, rows, columns) standard deviation among all samples, mean over the beat."""
    diversity: Array
    """(n,) of the first PAIRED independent samples; NaN of one alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDrawn:
    """Drawn by the bundle."""

    cines: Drawn
    end_volumes_ml: Array
    """(n, 2) LVEDV and LVESV as the ECG network says them; (0, 2) without a meter."""
    sample_volumes: list[list[Volumes]]
    """Of each subject's first MEASURED independent samples; nothing without a meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdealDrawn:
    """Drawn by the ideal sampler."""

    cines: Drawn
    effective_hearts: float
    """Of the bank, to a subject, on average."""


def draw_by_model(
    pipeline: EcgToCmr, data: TrainingSet, rows: NDArray[np.int64], meter: VentricleMeter | None,
    each: Each,
) -> ModelDrawn:  # fmt: skip
    """As the bundle draws for the ECGs alone: nobody's age, sex or size is told."""
    assert pipeline.sampler is not None  # a trained bundle draws
    drawn: list[_One] = []
    volumes: list[Array] = []
    measured: list[list[Volumes]] = []
    ids = pipeline.manifest.field_ids
    for row in rows:
        subject = int(data.cine_subject[row])
        answer = answer_to_ecg(pipeline, data, subject)
        cines = pipeline.sampler.samples(answer["condition"], "evaluation", str(subject))
        drawn.append(_one(cines, cines.independent[:PAIRED]))
        if meter is not None:  # the set is simulated: every phenotype is there
            ends = [ids.index(field_id) for field_id in END_VOLUMES]
            volumes.append(answer["phenotypes"][0, ends].astype(np.float64))
            measured.append([meter.measure(cine) for cine in cines.independent[:MEASURED]])
        each()
    return ModelDrawn(
        cines=_together(drawn),
        end_volumes_ml=np.reshape(volumes, (-1, len(END_VOLUMES))),
        sample_volumes=measured,
    )


def answer_to_ecg(
    pipeline: EcgToCmr, data: TrainingSet, subject: int
) -> dict[str, NDArray[np.float32]]:
    """What the ECG graph says of a subject's ECG alone: no age, sex or size is told."""
    ecg = data.ecg[subject][np.newaxis].astype(np.float32)
    unknown = np.zeros((1, SUBJECT_VALUES), np.float32)
    return pipeline.ecg.run({"ecg": ecg, "subject": unknown})


def draw_ideally(
    data: TrainingSet, population: Population, rows: NDArray[np.int64], autoencoder: Autoencoder,
    *, samples: int, bank: int, each: Each,
) -> IdealDrawn:  # fmt: skip
    """Scans of hearts of a bank, likely given the ECG alone; their diversity is that of what the
    autoencoder makes of them, as the noise of scans differs too.
    """
    assert data.statement.seed is not None  # of a simulated set
    seed = data.statement.seed
    others = simulate_population(bank, seed + BANK_SEED)
    hearts = expected(others, person=False)
    told = seen(population, data.statement.test_part, seed=seed, person=False)
    drawn: list[_One] = []
    sizes: list[float] = []
    for row in rows:
        subject = int(data.cine_subject[row])
        weights = weigh(told, subject, hearts)
        sizes.append(effective_size(weights))
        likely = draw_hearts(weights, samples, seed=seed, subject=subject)
        scans = np.stack(
            [
                scan(others, int(heart), seed=seed + BANK_SEED, number=subject * samples + number)
                for number, heart in enumerate(likely)
            ]
        )
        cines = scans.astype(np.float32) / np.float32(255.0)
        again = reconstruct(autoencoder, cines[:PAIRED])
        drawn.append(_one(DrawnCines(samples=cines), again))
        each()
    return IdealDrawn(cines=_together(drawn), effective_hearts=float(np.mean(sizes)))


@torch.no_grad()
def reconstruct(autoencoder: Autoencoder, cines: NDArray[np.float32]) -> NDArray[np.float32]:
    """(k, frames, rows, columns) in [0, 1], through the latent and back."""
    found = []
    for cine in cines:
        shown = torch.from_numpy(2.0 * cine - 1.0)[None, None]  # (1, 1, F, H, W)
        latent = unit_latent(autoencoder.encode(shown).mean)
        found.append(autoencoder.decode(latent)[0, 0].clamp(-1.0, 1.0).numpy())
    return (np.stack(found) + np.float32(1.0)) / np.float32(2.0)


def true_cine(data: TrainingSet, row: int) -> Cine:
    """A stored cine in [0, 1]."""
    cine: Cine = data.cine[row].astype(np.float32) / np.float32(255.0)
    return cine


def mean_of_neighbours(
    data: TrainingSet, rows: NDArray[np.int64], train: NDArray[np.int64]
) -> Callable[[int], Cine]:
    """Place in `rows` -> the mean cine of the training subjects nearest by age, sex and build."""
    people, others = (data.subject[data.cine_subject[some]] for some in (rows, train))
    nearest = train[demographic_neighbours(people, others, min(NEIGHBOURS, len(train)))]

    def mean(place: int) -> Cine:
        cines = data.cine[np.sort(nearest[place])].astype(np.float32)
        mean: Cine = cines.mean(axis=0) / np.float32(255.0)
        return mean

    return mean


_One = tuple[Pictures, Pictures, NDArray[np.float16], float]
"""Of one subject: first sample, mean, spread, diversity."""


def _one(cines: DrawnCines, paired: NDArray[np.float32]) -> _One:
    apart = diversity(paired) if len(paired) > 1 else np.nan
    shown = (cines.samples[0], cines.mean, cines.spread.mean(axis=0))
    sample, mean, spread = (each.astype(np.float16) for each in shown)
    return sample, mean, spread, apart


def _together(subjects: list[_One]) -> Drawn:
    first, mean, spread, apart = zip(*subjects, strict=True)
    return Drawn(
        sample=np.stack(first),
        mean=np.stack(mean),
        spread=np.stack(spread),
        diversity=np.array(apart),
    )
