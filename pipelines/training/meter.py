"""Stage meter: the segmenter that measures drawn cines, taught by the simulator's own outlines.

It trains on true cines, made worse as drawn ones may be: blurred, noisy, shifted, unevenly bright,
and mixed with other hearts as a mean over samples is.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional

from node.domain.errors import UnusableData
from pipelines.cardionets.left_ventricle import VentricleMeter, ends
from pipelines.cardionets.segmenter import FOLD, SegmenterSize
from pipelines.cohort.beat import move_chambers
from pipelines.cohort.cine import FIELD_OF_VIEW_MM, draw_acquisition, outline_left_ventricle
from pipelines.cohort.population import Population, Stream, draw
from pipelines.datasets.training_set import TrainingSet
from pipelines.training.stage import Batch, Stage, StageSettings

Pictures = NDArray[np.float32]
"""(B, rows, columns) in [0, 1]."""


class MeterSettings(StageSettings):
    hearts: PositiveInt = 4
    """Of each batch that share a frame's number: those may be mixed."""
    mixed: NonNegativeFloat = 0.35
    """Share of pictures that are a mean over several hearts."""
    blur: NonNegativeFloat = 1.8
    """Largest standard deviation of a blur, pixels."""
    noise: NonNegativeFloat = 0.05
    gain: NonNegativeFloat = 0.15
    """Largest relative change of brightness; half of it from the centre to an edge."""
    shift: NonNegativeInt = 5
    """Largest, pixels."""
    calibration: PositiveInt = 150
    """Training cines on which the straight line is fitted."""


def pixel_mm(data: TrainingSet) -> float:
    """Side of a pixel of a simulated cine."""
    return FIELD_OF_VIEW_MM / data.cine.shape[2]


class Meter(Stage):
    name: ClassVar[str] = "meter"

    def __init__(
        self, settings: MeterSettings, seed: int, size: SegmenterSize, data: TrainingSet,
        population: Population,
    ) -> None:  # fmt: skip
        """population: that of the training set.

        Raises UnusableData (a training set that is not simulated has no outlines).
        """
        super().__init__(settings, seed)
        if data.statement.seed is None:
            raise UnusableData("the meter learns from a simulator's outlines: use a simulated set")
        torch.manual_seed(seed)
        self.worse = settings
        self.data = data
        self.population = population
        self.simulation_seed = data.statement.seed
        self.rows = data.cines_of(data.statement.train_part)
        self.meter = VentricleMeter(size, pixel_mm(data))

    @property
    def network(self) -> nn.Module:
        return self.meter

    def batch(self, index: int) -> Batch:
        chance, worse = self.chance(index), self.worse
        rows = chance.choice(self.rows, worse.batch)
        groups = -(-worse.batch // worse.hearts)
        frames = chance.integers(0, self.data.cine.shape[1], groups).repeat(worse.hearts)
        frames = frames[: worse.batch]
        picture = self.data.cine[rows, frames].astype(np.float32) / 255.0
        share = np.stack([self.outline(int(r), int(f)) for r, f in zip(rows, frames, strict=True)])
        picture, share = self._mix(picture, share, chance)
        picture, share = self._shift(picture, share, chance)
        return {
            "picture": torch.from_numpy(self._spoil(picture, chance)),
            "share": functional.avg_pool2d(torch.from_numpy(share), FOLD),
        }

    def loss(self, batch: Batch) -> Tensor:
        logits = self.meter.segmenter(batch["picture"]).float()
        return functional.binary_cross_entropy_with_logits(logits, batch["share"])

    def kept(self) -> dict[str, Tensor]:
        """The network's weights and its calibration, fitted here."""
        rows = self.rows[: self.worse.calibration]
        raw = [
            ends(self.meter.raw_ml(self.data.cine[row].astype(np.float32) / 255)) for row in rows
        ]
        subjects = self.data.cine_subject[rows]
        true = [self.population.lvedv_ml[subjects], self.population.lvesv_ml[subjects]]
        self.meter.calibrate(np.stack(raw).ravel(), np.stack(true, axis=1).ravel())
        return super().kept()

    def outline(self, row: int, frame: int) -> NDArray[np.float32]:
        """(rows, columns) share of the left ventricle's cavity in a frame of a stored cine."""
        subject = int(self.data.cine_subject[row])
        scan = draw_acquisition(draw(self.simulation_seed, Stream.NUISANCE, subject))
        beat = move_chambers(self.population, subject, self.data.cine.shape[1]).frames([frame])
        side = self.data.cine.shape[2]
        share = outline_left_ventricle(self.population, subject, scan, beat, side)[0]
        return share.astype(np.float32)

    def _mix(
        self, picture: Pictures, share: Pictures, chance: np.random.Generator
    ) -> tuple[Pictures, Pictures]:
        """Some pictures become a mean over the hearts of their group, and their outlines too."""
        weights = np.eye(len(picture), dtype=np.float32)
        for row in np.flatnonzero(chance.random(len(picture)) < self.worse.mixed):
            first = row - row % self.worse.hearts
            group = slice(first, first + self.worse.hearts)
            weights[row, group] = chance.dirichlet(np.ones(len(weights[row, group])))
        mixed, shares = (np.tensordot(weights, each, 1) for each in (picture, share))
        return mixed, shares

    def _shift(
        self, picture: Pictures, share: Pictures, chance: np.random.Generator
    ) -> tuple[Pictures, Pictures]:
        most, side = self.worse.shift, picture.shape[1]
        moved = []
        for both in np.stack([picture, share], axis=1):  # (2, rows, columns)
            down, right = chance.integers(0, 2 * most + 1, 2)
            wide = np.pad(both, ((0, 0), (most, most), (most, most)), mode="edge")
            moved.append(wide[:, down : down + side, right : right + side])
        together = np.stack(moved)
        return together[:, 0], together[:, 1].copy()

    def _spoil(self, picture: Pictures, chance: np.random.Generator) -> Pictures:
        worse, count = self.worse, len(picture)
        blurs = np.maximum(worse.blur * chance.uniform(-0.5, 1.0, count), 0.0)
        blurred = [gaussian_filter(x, s) for x, s in zip(picture, blurs, strict=True)]
        places = np.linspace(-1.0, 1.0, picture.shape[1])
        tilt = 0.5 * worse.gain * chance.uniform(-1.0, 1.0, (2, count, 1, 1))
        gain = 1.0 + worse.gain * chance.uniform(-1.0, 1.0, (count, 1, 1))
        bright = np.stack(blurred) * (gain + tilt[0] * places[:, None] + tilt[1] * places)
        strength = worse.noise * chance.uniform(0.0, 1.0, (count, 1, 1))
        noisy = bright + strength * chance.standard_normal(picture.shape)
        return np.clip(noisy, 0.0, 1.0).astype(np.float32)
