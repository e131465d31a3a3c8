"""The cines of the test subjects: how near the drawn ones come, beside what is possible and cheap.

A cine is drawn for the own ECG and for another's; the difference is what the ECG says of the heart.
The ideal sampler reaches all of that difference which any model can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cardionets.left_ventricle import VentricleMeter, Volumes
from pipelines.cohort.simulation import population_of
from pipelines.datasets.training_set import TrainingSet
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.evaluation.baselines import mean_cine
from pipelines.evaluation.bootstrap import Measured, measure, resamples
from pipelines.evaluation.cine_measures import (
    WHOLE,
    Cine,
    Region,
    crop,
    heart_region,
    peak_signal_to_noise_db,
    sharpness,
    unsteadiness,
)
from pipelines.evaluation.comparison import (
    derange,
    difference_of,
    mean_of,
    ratio_of,
    share_of,
)
from pipelines.evaluation.drawings import (
    Each,
    IdealDrawn,
    ModelDrawn,
    Pictures,
    draw_by_model,
    draw_ideally,
    mean_of_neighbours,
    reconstruct,
    true_cine,
)
from pipelines.evaluation.frechet import cine_features, frechet_distance
from pipelines.evaluation.phenotypes import resampled_correlation
from pipelines.evaluation.readers import Tick
from pipelines.similarity import structural_similarity
from pipelines.training.run import Training

Array = NDArray[np.float64]
Source = Callable[[int], NDArray[np.floating[Any]]]
"""Place among the measured subjects -> a cine for it."""
Scores = dict[str, dict[str, Array]]
"""Region -> measure -> (n,)."""
SEED: Final = 1
"""Of the resamples and of the shuffle."""
MEASURES: Final[Mapping[str, Callable[[Cine, Cine], float]]] = {
    "ssim": structural_similarity,
    "psnr_db": peak_signal_to_noise_db,
}
REGIONS: Final = ("whole", "heart")
MODES: Final = ("mean", "sample")
SHOWN: Final = 8
"""Subjects to look at."""
REGION_FROM: Final = 400
"""Training cines, at most, whose motion says where the heart is."""
VOLUMES: Final = {
    "24100": "LV end-diastolic volume",
    "24101": "LV end-systolic volume",
    "24103": "LV ejection fraction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFigures:
    """One number of the left ventricle: squared correlation with the truth, by where it is read."""

    field_id: str
    name: str
    by: dict[str, Measured]
    """scans: the meter on true cines · network: from the ECG, no cine · mean: the meter on the mean
    of the samples · samples: the mean of what it reads on the first MEASURED samples."""
    share_of_network: dict[str, Measured]
    """mean and samples, over the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CineFigures:
    """Everything about drawn cines; what needs a simulated set or a meter may be missing."""

    subjects: int
    samples: int
    """Of each subject."""
    nuisance: str | None
    region: tuple[int, int, int, int]
    """First and last row, first and last column of region heart."""
    scores: dict[str, dict[str, dict[str, Measured]]]
    """Row -> region -> measure, against the true cine."""
    gained: dict[str, dict[str, dict[str, Measured]]]
    """Mode -> region -> measure: drawn for the own ECG less drawn for another's, in pairs."""
    share_of_ideal: dict[str, dict[str, dict[str, Measured]]]
    """As `gained`, over what the ideal sampler gains."""
    above_mean_image: dict[str, dict[str, Measured]]
    """Region -> measure: mean of the samples less the mean image as the autoencoder draws it."""
    effective_hearts: float | None
    """Of the ideal sampler's bank, to a subject."""
    sharpness: Measured
    """Of samples over that of reconstructions."""
    steadiness: Measured
    """Change of speed over time, likewise."""
    diversity: Measured | None
    """Of samples over that of the ideal sampler's, as the autoencoder draws those."""
    frechet: dict[str, float]
    """Squared distance from the true cines; 'halves': between two halves of those."""
    volumes: tuple[VolumeFigures, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A few subjects to look at: cines (k, frames, rows, columns); spread (k, rows, columns)."""

    true: NDArray[np.float32]
    sample: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    """Of the samples, mean over the beat."""


def evaluate_cines(
    training: Training, pipeline: EcgToCmr, *, count: int, bank: int, tick: Tick
) -> tuple[CineFigures, Gallery]:
    """Measure the cines that the finished bundle draws for test subjects who have a true one.

    count: subjects, at most. bank: hearts of the ideal sampler. Raises ValueError (fewer than two
    such subjects, or a bank without a heart of some subject's rhythm and conduction).
    """
    data, sampling = training.data, training.configuration.sampling
    rows, meter = data.cines_of(data.statement.test_part)[:count], training.meter()
    drawing = (0.3 if data.statement.simulated else 0.6) / len(rows)
    model = draw_by_model(pipeline, data, rows, meter, lambda: tick(drawing))
    again = _reconstructions(training, rows)
    ideal = None
    if data.statement.simulated:
        population = population_of(data.statement)
        ideal = draw_ideally(
            data, population, rows, training.autoencoder(), samples=sampling.samples, bank=bank,
            each=lambda: tick(drawing),
        )  # fmt: skip
    region = region_of_hearts(data)
    sources = _sources(training, rows, again, model, ideal)
    scoring = 0.4 / (len(rows) * len(sources))
    scored = {
        name: _score(source, data, rows, region, lambda: tick(scoring))
        for name, source in sources.items()
    }
    weights = resamples(len(rows), seed=SEED)
    samples = model.cines.sample
    figures = CineFigures(
        subjects=len(rows),
        samples=sampling.samples,
        nuisance=data.statement.nuisance,
        region=(region[0].start, region[0].stop - 1, region[1].start, region[1].stop - 1),
        scores={name: _table(partial(_mean, weights, of)) for name, of in scored.items()},
        gained={mode: _table(partial(_gained, weights, scored, mode)) for mode in MODES},
        share_of_ideal={
            mode: _table(partial(_share, weights, scored, mode)) for mode in MODES if ideal
        },
        above_mean_image=_table(
            partial(_above, weights, scored["model_mean"], scored["mean_image_redrawn"])
        ),
        effective_hearts=ideal.effective_hearts if ideal else None,
        sharpness=ratio_of(weights, _of_each(sharpness, samples), _of_each(sharpness, again)),
        steadiness=ratio_of(
            weights, _of_each(unsteadiness, samples), _of_each(unsteadiness, again)
        ),
        diversity=(
            ratio_of(weights, model.cines.diversity, ideal.cines.diversity) if ideal else None
        ),
        frechet=_frechet(data, rows, again, model, ideal),
        volumes=_volumes(weights, data, rows, model, meter),
    )
    shown = slice(0, SHOWN)
    gallery = Gallery(
        true=np.stack([true_cine(data, row) for row in rows[shown]]),
        sample=samples[shown].astype(np.float32),
        mean=model.cines.mean[shown].astype(np.float32),
        spread=model.cines.spread[shown].astype(np.float32),
    )
    return figures, gallery


def region_of_hearts(data: TrainingSet) -> Region:
    """Where hearts move, in the training cines."""
    train = data.cines_of(data.statement.train_part)
    return heart_region(data.cine[train[:REGION_FROM]])


def _reconstructions(training: Training, rows: NDArray[np.int64]) -> Pictures:
    autoencoder = training.autoencoder()
    cines = (true_cine(training.data, row)[np.newaxis] for row in rows)
    return np.stack([reconstruct(autoencoder, one)[0].astype(np.float16) for one in cines])


def _sources(
    training: Training,
    rows: NDArray[np.int64],
    again: Pictures,
    model: ModelDrawn,
    ideal: IdealDrawn | None,
) -> dict[str, Source]:
    """Row -> its cines."""
    data = training.data
    train = data.cines_of(data.statement.train_part)
    image = mean_cine(data.cine, train)
    redrawn = reconstruct(training.autoencoder(), image[np.newaxis])[0]
    order = derange(len(rows), seed=SEED)
    sources: dict[str, Source] = {
        "mean_image": lambda _: image,
        "mean_image_redrawn": lambda _: redrawn,
        "neighbours": mean_of_neighbours(data, rows, train),
        "reconstruction": lambda place: again[place],
    }
    for name, drawn in (("model", model.cines), ("ideal", ideal.cines if ideal else None)):
        if drawn is not None:
            for mode, cines in (("mean", drawn.mean), ("sample", drawn.sample)):
                sources[f"{name}_{mode}"] = partial(_at, cines)
                sources[f"{name}_{mode}_shuffled"] = partial(_at, cines[order])
    return sources


def _at(cines: Pictures, place: int) -> Pictures:
    one: Pictures = cines[place]
    return one


def _score(
    source: Source, data: TrainingSet, rows: NDArray[np.int64], region: Region, each: Each
) -> Scores:
    found: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in MEASURES} for name in REGIONS
    }
    for place, row in enumerate(rows):
        shown, true = source(place).astype(np.float32), true_cine(data, row)
        for name, part in zip(REGIONS, (WHOLE, region), strict=True):
            a, b = crop(shown, part), crop(true, part)
            for key, of in MEASURES.items():
                found[name][key].append(of(a, b))
        each()
    return {name: {key: np.array(of) for key, of in each.items()} for name, each in found.items()}


def _table(figure: Callable[[str, str], Measured]) -> dict[str, dict[str, Measured]]:
    """Region -> measure -> figure."""
    return {region: {of: figure(region, of) for of in MEASURES} for region in REGIONS}


def _mean(weights: Array, scores: Scores, region: str, of: str) -> Measured:
    return mean_of(weights, scores[region][of])


def _above(weights: Array, better: Scores, worse: Scores, region: str, of: str) -> Measured:
    return difference_of(weights, better[region][of], worse[region][of])


def _gained(
    weights: Array, scored: Mapping[str, Scores], mode: str, region: str, of: str
) -> Measured:
    own, other = (scored[f"model_{mode}{end}"][region][of] for end in ("", "_shuffled"))
    return difference_of(weights, own, other)


def _share(
    weights: Array, scored: Mapping[str, Scores], mode: str, region: str, of: str
) -> Measured:
    reached, possible = (
        (scored[f"{who}_{mode}"][region][of], scored[f"{who}_{mode}_shuffled"][region][of])
        for who in ("model", "ideal")
    )
    return share_of(weights, reached, possible)


def _of_each(of: Callable[[Cine], float], cines: Pictures) -> Array:
    return np.array([of(cine.astype(np.float32)) for cine in cines])


def _frechet(
    data: TrainingSet,
    rows: NDArray[np.int64],
    again: Pictures,
    model: ModelDrawn,
    ideal: IdealDrawn | None,
) -> dict[str, float]:
    def features(cines: Iterable[Cine]) -> Array:
        return np.stack([cine_features(cine.astype(np.float32)) for cine in cines])

    true = features(true_cine(data, row) for row in rows)
    found = {"halves": frechet_distance(true[::2], true[1::2])}
    others = {"reconstruction": again, "model_sample": model.cines.sample}
    others |= {"model_mean": model.cines.mean}
    if ideal is not None:
        others |= {"ideal_sample": ideal.cines.sample}
    return found | {name: frechet_distance(true, features(of)) for name, of in others.items()}


def _volumes(
    weights: Array,
    data: TrainingSet,
    rows: NDArray[np.int64],
    model: ModelDrawn,
    meter: VentricleMeter | None,
) -> tuple[VolumeFigures, ...]:
    """Nothing without a meter."""
    if meter is None:
        return ()
    subjects = data.cine_subject[rows]
    columns = [data.statement.field_ids.index(field_id) for field_id in VOLUMES]
    true = data.phenotypes[subjects][:, columns].astype(np.float64)  # (n, 3)
    by = {
        "scans": _numbers([meter.measure(true_cine(data, row)) for row in rows]),
        "network": _with_fraction(model.end_volumes_ml),
        "mean": _numbers([meter.measure(x.astype(np.float32)) for x in model.cines.mean]),
        "samples": np.stack([np.nanmean(_numbers(each), axis=0) for each in model.sample_volumes]),
    }
    squared = {
        name: resampled_correlation(weights, _known(numbers), true) ** 2
        for name, numbers in by.items()
    }  # (W, 3) each
    return tuple(
        VolumeFigures(
            field_id=field_id,
            name=name,
            by={reader: measure(of[:, place]) for reader, of in squared.items()},
            share_of_network={
                reader: measure(squared[reader][:, place] / squared["network"][:, place])
                for reader in ("mean", "samples")
            },
        )
        for place, (field_id, name) in enumerate(VOLUMES.items())
    )


def _numbers(volumes: Sequence[Volumes]) -> Array:
    """(n, 3) LVEDV, LVESV, LVEF."""
    ends = [(each.end_diastolic_ml, each.end_systolic_ml) for each in volumes]
    return _with_fraction(np.array(ends))


def _with_fraction(ends: Array) -> Array:
    """(n, 2) volumes with the ejection fraction beside them."""
    fraction = 100.0 * (1.0 - ends[:, 1] / ends[:, 0])
    return np.column_stack([ends, fraction])


def _known(numbers: Array) -> Array:
    """(n, 3) where no pool was found the mean of the others: that correlates with nothing."""
    return np.where(np.isnan(numbers), np.nanmean(numbers, axis=0), numbers)
