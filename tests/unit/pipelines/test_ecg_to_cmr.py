"""What a bundle answers: the same each time, in range, consistent, with its notes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from node.domain.ecg import ECGRecord, Finding, Severity, Subject
from node.domain.errors import PredictionError
from node.domain.prediction import Prediction
from pipelines.contract import Pipeline
from pipelines.ecg_to_cmr import EcgToCmr
from pipelines.runtime import Tensor

MakeEcg = Callable[..., ECGRecord]
SUBJECT = Subject(age_years=61.0, sex="F", height_cm=165.0, weight_kg=70.0)
FIELDS = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSession:
    """A graph whose answer is known."""

    answer: dict[str, NDArray[np.float32]]
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    def run(self, inputs: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return self.answer


def _fixed(pipeline: EcgToCmr, **changes: float) -> EcgToCmr:
    """The pipeline over a graph that gives these base values; "_24100" is field 24100."""
    ids = [spec.field_id for spec in pipeline.manifest.phenotypes]
    middle = [(spec.minimum + spec.maximum) / 2 for spec in pipeline.manifest.phenotypes]
    values = dict(zip(ids, middle, strict=True))
    values |= {"24100": 150.4, "24101": 60.3}
    values |= {name.removeprefix("_"): value for name, value in changes.items() if name != "spread"}
    answer = {
        "phenotypes": np.array([list(values.values())], np.float32),
        "spread": np.full((1, FIELDS), changes.get("spread", 2.0), np.float32),
        "diseases": np.array([[0.0, -np.log(3.0)]], np.float32),
        "latent": np.zeros((1, 4), np.float32),
    }
    return replace(pipeline, ecg=FixedSession(answer=answer))


def _ask(pipeline: Pipeline, record: ECGRecord, subject: Subject = SUBJECT) -> Prediction:
    return pipeline.predict(record, subject, source_digest="0" * 64)


def _bytes(prediction: Prediction) -> tuple[object, ...]:
    assert prediction.cine is not None
    numbers = [(e.field_id, e.value, e.lower, e.upper) for e in prediction.estimates]
    return (
        repr(numbers),
        repr(prediction.diseases),
        prediction.cine.frames.tobytes(),
        repr(prediction.heart_rate_bpm),
        prediction.findings,
    )


def _codes(prediction: Prediction) -> list[str]:
    return [finding.code for finding in prediction.findings]


def test_the_same_ecg_gives_the_same_bytes_in_any_order_and_from_many_threads(
    pipeline: EcgToCmr, make_ecg: MakeEcg
) -> None:
    records = [make_ecg(rate_bpm=rate) for rate in (55.0, 75.0, 100.0)]
    first = [_bytes(_ask(pipeline, record)) for record in records]
    assert len(set(first)) == 3
    assert [_bytes(_ask(pipeline, record)) for record in reversed(records)] == first[::-1]
    with ThreadPoolExecutor(max_workers=3) as pool:
        together = list(pool.map(lambda record: _bytes(_ask(pipeline, record)), records * 4))
    assert together == first * 4


def test_a_value_lies_within_its_interval_and_range(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    prediction = _ask(pipeline, make_ecg(size=2.0))
    assert len(prediction.estimates) == FIELDS
    for spec, estimate in zip(pipeline.manifest.phenotypes, prediction.estimates, strict=True):
        assert spec.minimum <= estimate.lower <= estimate.value <= estimate.upper <= spec.maximum
        assert estimate.value == round(estimate.value, spec.decimals)


def test_derived_values_follow_from_the_values_before_rounding(
    pipeline: EcgToCmr, make_ecg: MakeEcg
) -> None:
    """150.4 − 60.3 = 90.1 mL; 90.1 / 150.4 = 59.9 %; at 75 per minute 6.76 L/min."""
    prediction = _ask(_fixed(pipeline, _24102=1.0, _24103=1.0, _24104=1.0), make_ecg())
    given = {estimate.field_id: estimate for estimate in prediction.estimates}
    assert [given[name].value for name in ("24100", "24101", "24102")] == [150.0, 60.0, 90.0]
    assert given["24103"].value == 60.0
    assert given["24104"].value == 6.8
    # 1.645 x 2 = 3.29 to both sides
    assert (given["24102"].lower, given["24102"].upper) == (87.0, 93.0)


def test_a_value_beyond_its_range_is_moved_to_the_limit_and_noted_once(
    pipeline: EcgToCmr, make_ecg: MakeEcg
) -> None:
    prediction = _ask(_fixed(pipeline, _24105=1000.0, _24140=0.1), make_ecg())
    given = {estimate.field_id: estimate for estimate in prediction.estimates}
    assert (given["24105"].value, given["24105"].upper) == (300.0, 300.0)
    assert (given["24140"].value, given["24140"].lower) == (2.0, 2.0)
    (note,) = prediction.findings
    assert note.code == "estimate-at-limit" and note.severity is Severity.NOTE
    assert "LV myocardial mass, LV mean myocardial wall thickness global" in note.message


def test_a_probability_is_the_sigmoid_of_the_logit(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    """Logits 0 and −ln 3 are 1/2 and 1/4."""
    prediction = _ask(_fixed(pipeline), make_ecg())
    assert [disease.probability for disease in prediction.diseases] == [0.5, 0.25]


def test_the_cine_lasts_one_heart_beat(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    prediction = _ask(pipeline, make_ecg(rate_bpm=75.0))
    assert prediction.cine is not None and prediction.cine.frames.shape == (20, 48, 48)
    assert prediction.heart_rate_bpm == pytest.approx(75.0, abs=0.2)
    assert prediction.cine.frame_time_ms * 20 == pytest.approx(800.0, abs=3.0)


def test_pixels_are_rounded_and_kept_in_range(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    frames = np.full((1, 20, 48, 48), 0.5, np.float32)
    frames[0, 0], frames[0, 1] = -0.2, 1.2
    prediction = _ask(replace(pipeline, cine=FixedSession(answer={"frames": frames})), make_ecg())
    assert prediction.cine is not None
    assert [int(frame[0, 0]) for frame in prediction.cine.frames[:3]] == [0, 255, 128]


def test_an_unknown_subject_is_answered_with_a_note(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    prediction = _ask(pipeline, make_ecg(), Subject())
    assert _codes(prediction) == ["subject-incomplete"]
    assert "age and sex: the estimate does not use it" in prediction.findings[0].message
    assert len(prediction.estimates) == FIELDS
    assert _codes(_ask(pipeline, make_ecg(), Subject(age_years=60.0, sex="M"))) == []


@pytest.mark.parametrize(("age", "noted"), [(19.9, True), (20.0, False), (90.0, False), (91, True)])
def test_an_age_outside_training_is_noted(
    pipeline: EcgToCmr, make_ecg: MakeEcg, age: float, noted: bool
) -> None:
    prediction = _ask(pipeline, make_ecg(), Subject(age_years=age, sex="M"))
    assert ("outside-training-population" in _codes(prediction)) is noted


def test_an_unusual_heart_rate_is_noted(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    assert "heart-rate-unusual" in _codes(_ask(pipeline, make_ecg(rate_bpm=25.0)))
    assert "heart-rate-unusual" not in _codes(_ask(pipeline, make_ecg(rate_bpm=170.0)))


def test_findings_of_the_quality_gate_come_first(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    gate = Finding(code="noisy", severity=Severity.NOTE, message="Lead V1 is noisy.")
    prediction = pipeline.predict(make_ecg(), Subject(), source_digest="0", findings=(gate,))
    assert _codes(prediction) == ["noisy", "subject-incomplete"]


def test_no_heart_rate_is_made_up(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    with pytest.raises(PredictionError, match="fewer than two heart beats"):
        _ask(pipeline, make_ecg(size=0.0))


def test_a_negative_spread_is_no_answer(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    with pytest.raises(PredictionError, match="negative spread for field 24100"):
        _ask(_fixed(pipeline, spread=-1.0), make_ecg())


def test_what_a_bundle_does_not_offer_is_left_out(pipeline: EcgToCmr, make_ecg: MakeEcg) -> None:
    graphs = pipeline.manifest.graphs.model_copy(update={"cine": None})
    bare = pipeline.manifest.model_copy(
        update={"phenotypes": (), "diseases": (), "cine": None, "graphs": graphs}
    )
    prediction = _ask(replace(pipeline, manifest=bare, cine=None), make_ecg())
    assert (prediction.estimates, prediction.diseases, prediction.cine) == ((), (), None)


def test_the_pipeline_says_what_it_needs(pipeline: EcgToCmr) -> None:
    assert pipeline.input_spec.minimum_duration_s == 9.0
    assert pipeline.input_spec.age_years == (20.0, 90.0)
