"""The best that an ECG can say: regression on the true electrical traits instead of the signal.

What the signal hides is hidden here too: a bundle branch block hides how the ventricles would have
been excited, atrial fibrillation the P wave. Of two readers, each phenotype takes the one that is
better on subjects held back for that: gradient boosting, or a ridge on traits, squares, products.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from pipelines.cohort.conditions import Cardiomyopathy, Conduction, Territory
from pipelines.cohort.electrophysiology import TRAITS, electrical_traits
from pipelines.cohort.population import Population
from pipelines.evaluation.phenotypes import r_squared, ridge, with_products

Array = NDArray[np.float64]
Tick = Callable[[float], None]
"""Told which further share of the work is done."""

OF_VENTRICLES: Final = (
    "qrs_duration",
    "septal",
    "notch",
    "st_t_angle",
    "t_amplitude",
    "late_right",
)
"""Traits of the normal beat that a left bundle branch block overrules; a right one the last."""
OF_ATRIA: Final = ("p_duration", "p_amplitude", "p_terminal", "pq")
"""Traits that are gone with the P wave."""
HELD_BACK: Final = 0.2
"""Of the training subjects, to choose a reader by."""
PENALTIES: Final = (30.0, 300.0, 3000.0)
LEAF: Final = 30
"""Subjects in a tree's leaf, at least."""
BOOSTING: Final = {
    "max_iter": 120, "learning_rate": 0.07, "max_leaf_nodes": 12, "min_samples_leaf": LEAF,
    "l2_regularization": 1.0, "early_stopping": False, "random_state": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleAnswer:
    """predicted: (m, P). boosted: (P,) which phenotypes gradient boosting reads better."""

    predicted: Array
    boosted: NDArray[np.bool_]


def visible_traits(population: Population, part: slice, *, seed: int) -> Array:
    """(n, F) all that the ECG of each subject shows, without noise."""
    c, rows = population.conditions, range(*part.indices(population.size))
    table = np.array(
        [list(electrical_traits(population, row, seed=seed).values()) for row in rows]
    ).reshape(len(rows), len(TRAITS))
    _hide(table, OF_ATRIA, c.fibrillation[part])
    left = c.conduction[part] == Conduction.LEFT_BUNDLE_BRANCH_BLOCK
    right = c.conduction[part] == Conduction.RIGHT_BUNDLE_BRANCH_BLOCK
    _hide(table, OF_VENTRICLES, left)
    _hide(table, ("late_right",), right)
    severity, muscle = c.severity[part], c.cardiomyopathy[part]
    kinds = [muscle == kind for kind in Cardiomyopathy if kind]
    overload = c.pressure_overload[part]
    shown = [
        population.heart_rate_bpm[part],
        c.fibrillation[part], left, right,
        *(np.where(c.territory[part] == kind, c.scar[part], 0.0) for kind in Territory if kind),
        *kinds, *(kind * severity for kind in kinds),
        overload, overload * severity,
        c.pulmonary_hypertension[part],
    ]  # fmt: skip
    return np.concatenate([table, np.stack(shown, axis=1).astype(np.float64)], axis=1)


def read_ideally(train: Array, wanted: Array, test: Array, tick: Tick) -> OracleAnswer:
    """Phenotypes (n, P) learnt from visible traits (n, F), foretold for others (m, F).

    With fewer subjects than two leaves hold a tree cannot grow: the ridge reads alone.
    """
    first = len(train) - max(1, round(HELD_BACK * len(train)))
    fitted, held = slice(0, first), slice(first, len(train))
    products, test_products = with_products(train), with_products(test)
    tried = [
        r_squared(ridge(products[fitted], wanted[fitted], products[held], penalty=each),
                  wanted[held])
        for each in PENALTIES
    ]  # fmt: skip
    best = int(np.argmax([np.nansum(each) for each in tried]))
    predicted = ridge(products, wanted, test_products, penalty=PENALTIES[best])
    boosted = np.zeros(wanted.shape[1], dtype=np.bool_)
    for column in range(wanted.shape[1]):
        if (~np.isnan(wanted[fitted, column])).sum() >= 2 * LEAF:
            guess = _boost(train[fitted], wanted[fitted, column], train[held])
            reached = r_squared(guess[:, None], wanted[held, column : column + 1])[0]
            boosted[column] = reached > tried[best][column]
        if boosted[column]:
            predicted[:, column] = _boost(train, wanted[:, column], test)
        tick(1.0 / wanted.shape[1])
    return OracleAnswer(predicted=predicted, boosted=boosted)


def _boost(train: Array, wanted: Array, test: Array) -> Array:
    known = ~np.isnan(wanted)
    with threadpool_limits(limits=1):  # threads that wait for a busy core take ten times as long
        booster = HistGradientBoostingRegressor(**BOOSTING).fit(train[known], wanted[known])
        return np.asarray(booster.predict(test))


def _hide(table: Array, names: tuple[str, ...], rows: NDArray[np.bool_]) -> None:
    """Set traits to their mean, 0, for these subjects."""
    for name in names:
        table[rows, TRAITS.index(name)] = 0.0
