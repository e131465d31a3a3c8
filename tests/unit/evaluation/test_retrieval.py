"""Recall of aligned encoders on likeness that is known."""

from __future__ import annotations

import numpy as np

from pipelines.evaluation.retrieval import own_ranks, recall_of


def test_a_perfect_alignment_finds_every_partner_first() -> None:
    recall = recall_of(np.eye(20), seed=1)
    assert [each.ecg_to_cmr.value for each in recall] == [1.0, 1.0, 1.0]
    assert [each.chance for each in recall] == [0.05, 0.25, 0.5]


def test_a_tie_is_lost() -> None:
    """Otherwise encoders that say the same of everyone would look perfect."""
    assert own_ranks(np.ones((3, 3))).tolist() == [2.0, 2.0, 2.0]


def test_the_two_directions_are_told_apart() -> None:
    likeness = np.array([[0.5, 0.9, 0.0], [0.1, 0.95, 0.2], [0.0, 0.3, 0.4]])
    assert own_ranks(likeness).tolist() == [1.0, 0.0, 0.0]
    assert own_ranks(likeness.T).tolist() == [0.0, 0.0, 0.0]
