"""A preset of the shipped bundle: the same numbers, another cine, and objects of their own."""

from __future__ import annotations

import pytest

from node.dicom.template import load_templates
from node.domain.delivery import ResultKind
from node.domain.form import DEFAULT_FORM
from node.workflow.answer import Answer, answer, compose
from pipelines.bundle import read_bundle
from pipelines.catalog import load_pipeline, shipped_bundles
from pipelines.runtime.onnx import OnnxRuntime
from tests.ecg_instances import instances


def _answer(preset: str) -> Answer:
    bundle = read_bundle(shipped_bundles() / "simulated-4ch")
    pipeline = load_pipeline(bundle, OnnxRuntime(threads=1), preset=preset)
    ((_, content),) = instances(1)
    return answer(content, pipeline=pipeline)


@pytest.fixture(scope="module")
def plain() -> Answer:
    return _answer("")


@pytest.mark.parametrize("preset", ["mean", "expected"])
def test_a_preset_changes_the_cine_and_nothing_that_is_estimated(
    plain: Answer, preset: str
) -> None:
    other = _answer(preset)
    assert plain.prediction is not None
    assert other.prediction is not None
    assert other.prediction.estimates == plain.prediction.estimates
    assert other.prediction.diseases == plain.prediction.diseases
    assert plain.prediction.cine is not None
    assert other.prediction.cine is not None
    assert (other.prediction.cine.frames != plain.prediction.cine.frames).any()


def test_a_cine_that_is_the_mean_of_samples_tells_how_far_they_lie_apart(plain: Answer) -> None:
    mean = _answer("mean").prediction
    assert plain.prediction is not None and plain.prediction.cine is not None
    assert mean is not None and mean.cine is not None
    assert plain.prediction.cine.spread is None
    spread = mean.cine.spread
    assert spread is not None
    assert (spread.samples, spread.grey_levels.shape) == (16, mean.cine.frames.shape)
    assert 1 < spread.grey_levels.mean() < 64


def test_what_a_preset_makes_never_shares_an_identifier_and_says_how_it_was_made(
    plain: Answer,
) -> None:
    other = _answer("mean")
    objects = compose(other, load_templates(), DEFAULT_FORM)
    assert {made.identifier for made in objects}.isdisjoint(
        made.identifier for made in compose(plain, load_templates(), DEFAULT_FORM)
    )
    (report,) = (made for made in objects if made.kind is ResultKind.REPORT)
    assert b", preset mean, onnxruntime" in report.content
    assert plain.model.label == "simulated-4ch 1.0.0"
    assert other.model.label == "simulated-4ch/mean 1.0.0"
