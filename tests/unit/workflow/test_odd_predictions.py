"""Whatever a model may say is told, or refused by name: no number breaks a page or a report."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from node.domain.delivery import ResultKind
from node.domain.errors import PredictionError
from node.domain.form import DEFAULT_FORM
from node.domain.prediction import DiseaseProbability, Estimate, Prediction
from node.hl7.profile import shipped_profile
from node.workflow.compose import compose_message, compose_objects
from tests.result_forms import TEMPLATES, record, source_of
from tests.result_phantom import DISEASES, ESTIMATES, ecg_head, prediction

CENTRES = (0.0, 0.004, 1.0, 57.3, 400.0, 12_345.6, 1e7, -0.3, -20.0, -9_999.9)
WIDTHS = (0.0, 0.01, 0.6, 15.0, 3_000.0)
KINDS = frozenset({ResultKind.SUMMARY, ResultKind.PDF, ResultKind.REPORT})


def odd(chance: random.Random) -> Prediction:
    """Any numbers, each within its interval; a heart that beats at any rate."""
    return replace(
        prediction(with_cine=False),
        estimates=tuple(_odd(each, chance) for each in ESTIMATES),
        diseases=tuple(
            DiseaseProbability(
                field_id=each.field_id, name=each.name, probability=chance.choice((0.0, 0.5, 1.0))
            )
            for each in DISEASES
        ),
        heart_rate_bpm=chance.choice((20.0, 60.0, 199.9, 350.0)),
    )


def _odd(estimate: Estimate, chance: random.Random) -> Estimate:
    value = round(chance.choice(CENTRES), estimate.decimals)
    below, above = (round(chance.choice(WIDTHS), estimate.decimals) for _ in range(2))
    return replace(
        estimate,
        value=value,
        lower=round(value - below, estimate.decimals),
        upper=round(value + above, estimate.decimals),
    )


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("sex", ["F", "M", ""])
def test_odd_numbers_are_told_or_refused(seed: int, sex: str) -> None:
    head = ecg_head()
    head.PatientSex = sex
    source, made = source_of(head), odd(random.Random(seed))
    try:
        objects = compose_objects(made, record(), source, TEMPLATES, DEFAULT_FORM, KINDS)
    except PredictionError:
        return
    assert {each.kind for each in objects} == KINDS
    message = compose_message(
        made,
        record(),
        source,
        DEFAULT_FORM,
        destination="RIS",
        profile=shipped_profile(),
        templates=TEMPLATES,
    )
    assert message.content.startswith(b"MSH|")
