"""What is drawn without an ECG."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.baselines import demographic_neighbours, mean_cine


def test_the_mean_cine_is_of_the_chosen_rows() -> None:
    cines = np.zeros((3, 2, 4, 4), np.uint8)
    cines[0], cines[2] = 51, 204
    assert np.allclose(mean_cine(cines, np.array([0, 2])), 0.5)


def test_neighbours_come_nearest_first_each_trait_by_its_spread() -> None:
    values = np.array(
        [[40, 1, 170, 70], [41, 1, 170, 70], [40, -1, 170, 70], [80, 1, 170, 70]], np.float32
    )
    others = np.ones((4, 8), np.float32)
    others[:, 1::2] = values
    person = others[[0]].copy()
    person[0, 1] = 40.2
    assert demographic_neighbours(person, others, 2).tolist() == [[0, 1]]
    person[0, 3] = -1.0
    assert demographic_neighbours(person, others, 1).tolist() == [[2]]
