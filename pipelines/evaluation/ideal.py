"""The ideal sampler: hearts as likely as the truth about an ECG makes them, none learnt.

In the simulated world electrical traits are Gaussian about what the anatomy leads to. So simulated
subjects of a bank, each weighted by the likelihood of the traits that are seen, are draws from the
exact posterior over hearts, up to narrow kernels for what is seen without error. No network can
reach more from the ECG; what an ECG shows of disease beyond rhythm and conduction is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.cohort.cine import digitise, draw_acquisition, paint_cine
from pipelines.cohort.conditions import Conduction
from pipelines.cohort.electrophysiology import OWN_SPREAD, electrical_traits, expected_traits
from pipelines.cohort.population import Population, Stream, draw

Array = NDArray[np.float64]
RATE_BPM: Final = 1.0
"""Kernel of the heart rate, which an ECG shows without error."""
PERSON: Final = (5.0, 5.0, 8.0)
"""Kernels of age (years), height (cm) and weight (kg), about half of each one's spread: narrower
ones leave too few hearts of a bank of 200,000, and lose more by that than they gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is seen of n subjects.

    values: (n, F), NaN where not seen · spread: (F,) of a value about what a heart leads to
    · kind: (n,) what must be equal.
    """

    values: Array
    spread: Array
    kind: NDArray[np.int64]

    def of(self, index: int) -> Array:
        """(F,) of one subject."""
        values: Array = self.values[index]
        return values


def seen(population: Population, part: slice, *, seed: int, person: bool) -> Evidence:
    """The true traits of these subjects and, with `person`, age, sex, height and weight."""
    rows = range(*part.indices(population.size))
    traits = [list(electrical_traits(population, row, seed=seed).values()) for row in rows]
    return _evidence(population, part, np.array(traits), person=person)


def expected(bank: Population, *, person: bool) -> Evidence:
    """What each heart of the bank leads to."""
    everyone = slice(0, bank.size)
    return _evidence(bank, everyone, expected_traits(bank, everyone), person=person)


def _evidence(population: Population, part: slice, traits: Array, *, person: bool) -> Evidence:
    p, c = population, population.conditions
    columns = [p.heart_rate_bpm[part]]
    kind = c.fibrillation[part] * len(Conduction) + c.conduction[part].astype(np.int64)
    if person:
        columns += [p.age_years[part], p.height_cm[part], p.weight_kg[part]]
        kind = 2 * kind + p.male[part]
    spread = np.array([*OWN_SPREAD, RATE_BPM, *(PERSON if person else ())])
    return Evidence(
        values=np.concatenate([traits, np.stack(columns, axis=1)], axis=1),
        spread=spread,
        kind=kind,
    )


def weigh(of_subject: Evidence, index: int, of_bank: Evidence) -> Array:
    """(bank,) probability of each heart of the bank, given what is seen of one subject.

    Raises ValueError (no heart of the bank is of the subject's kind).
    """
    alike = np.flatnonzero(of_bank.kind == of_subject.kind[index])
    if not alike.size:
        raise ValueError("the bank holds no heart of this kind: take a larger one")
    away = (of_subject.of(index) - of_bank.values[alike]) / of_bank.spread
    log_likelihood = -0.5 * np.nansum(away**2, axis=1)
    weights = np.zeros(len(of_bank.kind))
    weights[alike] = np.exp(log_likelihood - log_likelihood.max())
    weights /= weights.sum()
    return weights


def effective_size(weights: Array) -> float:
    """How many equally weighted hearts tell as much (Kish)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def draw_hearts(weights: Array, count: int, *, seed: int, subject: int) -> NDArray[np.int64]:
    """(count,) hearts of the bank, each drawn by its weight."""
    chance = draw(seed, Stream.ANATOMY, subject)
    return chance.choice(len(weights), count, p=weights)


def scan(population: Population, index: int, *, seed: int, number: int) -> NDArray[np.uint8]:
    """(50, 96, 96): the heart in a scan of its own, with another placement and other noise."""
    acquisition = draw_acquisition(draw(seed, Stream.NUISANCE, number))
    clean = paint_cine(population, index, acquisition, frames=50, size=96)
    return digitise(clean, draw(seed, Stream.PIXEL_NOISE, number))
